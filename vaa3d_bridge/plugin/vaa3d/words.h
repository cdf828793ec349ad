// The command line's `-p` words: key=value, and nothing else.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "choices.h"

struct Words {
    Choices choices;
    std::optional<dineuro::Json> root;  // x, y, z from 0
    std::optional<dineuro::Json> roi;   // x0, y0, z0, x1, y1, z1, half-open
    QString marker;                     // a .marker file; its first one is the root
    bool mask = false;                  // beside each input, where no output names one
};

// Throws dineuro::Error("bad_parameter") naming a word that is none, or a value that cannot be.
Words parseWords(const std::vector<std::string>& words);

// All words with what they mean.
QString wordsHelp();
