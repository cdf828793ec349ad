// A stand-in for Vaa3D's header of this name, for the tests.
#pragma once

struct RGBA8 {
    unsigned char r, g, b, a;
};
