// The actions of the menu.
#pragma once

#include <v3d_interface.h>

void traceFromMenu(V3DPluginCallback2& callback, QWidget* parent, bool enhance);
// Opens the list of the places to proofread, which stays open.
void proofread(V3DPluginCallback2& callback, QWidget* parent);
void serverSettings(QWidget* parent);
void about(QWidget* parent);
