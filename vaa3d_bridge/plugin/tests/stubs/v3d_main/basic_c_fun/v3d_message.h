// A stand-in for Vaa3D's header of this name, for the tests.
#pragma once

#include <QString>

void v3d_msg(const char* msg, bool b_disp_QTDialog = true);
void v3d_msg(const QString& msg, bool b_disp_QTDialog = true);
