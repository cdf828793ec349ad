// A stand-in for Vaa3D's header of this name, for the tests: the cut box of a 3D window.
#pragma once

class View3DControl {
public:
    virtual ~View3DControl() = default;
    virtual int dataDim1() const = 0;
    virtual int dataDim2() const = 0;
    virtual int dataDim3() const = 0;
    virtual int xCut0() const = 0;
    virtual int xCut1() const = 0;
    virtual int yCut0() const = 0;
    virtual int yCut1() const = 0;
    virtual int zCut0() const = 0;
    virtual int zCut1() const = 0;
    virtual void setXCut0(int) {}
    virtual void setXCut1(int) {}
    virtual void setYCut0(int) {}
    virtual void setYCut1(int) {}
    virtual void setZCut0(int) {}
    virtual void setZCut1(int) {}
};
