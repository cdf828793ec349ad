// What the user asked for on the command line.
#pragma once

#include <string>
#include <vector>

#include <v3d_interface.h>

struct Arguments {
    std::vector<std::string> inputs, outputs, words;  // -i, -o, -p
};

// The lists that Vaa3D gives. Vaa3D drops everything from the first missing input on, together with
// -o and -p. In that case these are the lists of the program's own command line.
Arguments argumentsOf(const QString& func, const V3DPluginArgList& input,
                      const V3DPluginArgList& output);

// The name of the running program, for help texts.
QString programName();
