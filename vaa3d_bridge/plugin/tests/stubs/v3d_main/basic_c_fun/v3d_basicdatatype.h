// A stand-in for Vaa3D's header of this name, for the tests: the same names for what the plugin
// uses.
#pragma once

#define V3DLONG long

enum ImagePixelType { V3D_UNKNOWN, V3D_UINT8, V3D_UINT16, V3D_FLOAT32 };
