// Whether the plugin and the running Vaa3D agree on the table of functions.
#pragma once

#include <QString>

#include <v3d_interface.h>

// Empty, or a sentence if the plugin was built for another branch of Vaa3D. Call it before any
// function from setSWC on, because another table has another function at each of their places.
QString refusalOf(V3DPluginCallback2& callback);
