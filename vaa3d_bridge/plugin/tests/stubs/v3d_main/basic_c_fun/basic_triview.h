// A stand-in for Vaa3D's header of this name, for the tests: the focus of a tri-view, from 1.
#pragma once

#include "v3d_basicdatatype.h"

class TriviewControl {
public:
    virtual ~TriviewControl() = default;
    virtual void getFocusLocation(V3DLONG& x, V3DLONG& y, V3DLONG& z) const = 0;
    virtual void setFocusLocation(V3DLONG x, V3DLONG y, V3DLONG z) = 0;
};
