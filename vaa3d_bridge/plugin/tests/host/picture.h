// A picture of an image with its tree, for the documentation.
#pragma once

#include <QImage>

#include "vaa3d.h"

// The brightest 8-bit sample along z, enlarged, with the tree in the colours that Vaa3D gives
// types.
QImage pictureOf(Window& window, int factor);
