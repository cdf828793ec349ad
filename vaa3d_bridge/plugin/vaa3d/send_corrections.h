// The menu item that sends a corrected tree.
#pragma once

#include <v3d_interface.h>

void sendCorrections(V3DPluginCallback2& callback, QWidget* parent);
