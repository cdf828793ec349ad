// The `-p` words of the command line, which are key=value.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "choices.h"

struct Words {
    Choices choices;
    std::optional<dineuro::Json> root;  // x, y, z from 0
    std::optional<dineuro::Json> roi;   // x0, y0, z0, x1, y1, z1, half-open
    QString marker;                     // a .marker file; its first marker is the root
    bool mask = false;                  // write the mask beside each input, unless -o names it
};

// Throws dineuro::Error("bad_parameter") with the unknown word or the invalid value.
Words parseWords(const std::vector<std::string>& words);

// The help on all words.
QString wordsHelp();
