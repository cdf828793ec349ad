// Vaa3D-x -x dineuro -f enhance_trace -i IN... -o OUT... -p key=value...
#pragma once

#include "arguments.h"

// Whether every input was traced. A failed input writes no file, and prints its reason.
bool traceFromCommand(V3DPluginCallback2& callback, const Arguments& arguments, bool enhance);

QString commandHelp();
