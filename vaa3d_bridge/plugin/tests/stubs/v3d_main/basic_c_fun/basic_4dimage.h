// A stand-in for Vaa3D's header of this name, for the tests: an image owns samples made with new[].
#pragma once

#include "v3d_basicdatatype.h"
#include "v3d_message.h"

class Image4DSimple {
public:
    virtual ~Image4DSimple() { delete[] data_; }

    unsigned char* getRawData() { return data_; }
    V3DLONG getXDim() const { return x_; }
    V3DLONG getYDim() const { return y_; }
    V3DLONG getZDim() const { return z_; }
    V3DLONG getCDim() const { return c_; }
    ImagePixelType getDatatype() const { return type_; }
    V3DLONG getUnitBytes() const { return type_ == V3D_FLOAT32 ? 4 : type_ == V3D_UINT16 ? 2 : 1; }
    V3DLONG getTotalUnitNumberPerChannel() const { return x_ * y_ * z_; }
    V3DLONG getTotalBytes() const { return getUnitBytes() * x_ * y_ * z_ * c_; }
    double getRezX() const { return rez_[0]; }
    double getRezY() const { return rez_[1]; }
    double getRezZ() const { return rez_[2]; }
    bool setRezX(double v) { return rez_[0] = v, true; }
    bool setRezY(double v) { return rez_[1] = v, true; }
    bool setRezZ(double v) { return rez_[2] = v, true; }
    virtual bool valid() { return data_ && x_ > 0 && y_ > 0 && z_ > 0 && c_ > 0; }

    bool setData(unsigned char* p, V3DLONG x, V3DLONG y, V3DLONG z, V3DLONG c, ImagePixelType t) {
        if (data_) delete[] data_;
        data_ = p;
        x_ = x, y_ = y, z_ = z, c_ = c, type_ = t;
        return p != nullptr;
    }
    void setRawDataPointerToNull() { data_ = nullptr; }

private:
    unsigned char* data_ = nullptr;
    V3DLONG x_ = 0, y_ = 0, z_ = 0, c_ = 0;
    ImagePixelType type_ = V3D_UNKNOWN;
    double rez_[3] = {1, 1, 1};
};
