// vaa3d -x dineuro -f enhance_trace -i IN... -o OUT... -p key=value...
#pragma once

#include <v3d_interface.h>

// Whether every input was done; what failed has written nothing, and its reason is on the terminal.
bool traceFromCommand(V3DPluginCallback2& callback, const V3DPluginArgList& input,
                      const V3DPluginArgList& output, bool enhance);

QString commandHelp();
