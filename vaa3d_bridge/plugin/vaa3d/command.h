// vaa3d -x dineuro -f enhance_trace -i IN... -o OUT... -p key=value...
#pragma once

#include <v3d_interface.h>

// Whether every input was traced. A failed input writes no file, and prints its reason.
bool traceFromCommand(V3DPluginCallback2& callback, const V3DPluginArgList& input,
                      const V3DPluginArgList& output, bool enhance);

QString commandHelp();
