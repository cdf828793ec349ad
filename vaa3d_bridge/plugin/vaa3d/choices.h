// What the user chose, in the dialog or on the command line.
#pragma once

#include <optional>

#include <QString>

#include "client/client.h"

struct Choices {
    QString server = "tcp://127.0.0.1:5599";
    QString key;         // file NAME.key_secret; both empty on loopback
    QString serverKey;   // file server.key
    double minutes = 0;  // until it is given up; 0 is never
    bool reuse = true;   // an answer that the server has already

    int channel = 1;       // from 1
    bool cutBox = false;   // the 3D window's, not the whole image
    bool landmark = true;  // the first one is the soma, where there is one
    bool showMask = true;
    bool overlay = true;
    QString swcFile;     // empty: the tree is not saved
    bool doubts = true;  // beside the SWC, the places to look at first

    QString enhancer = "auto";  // "auto", "dineuro", "classical", "none"
    QString model;              // empty: the server's own choice
    int threshold = 128;
    double minLength = 3;
    double gap = 60;
    bool allTrees = false;
    double minConfidence = 0.5;
    int passes = 2;                 // at most
    double spacing[3] = {0, 0, 0};  // x, y, z in micrometres; 0 is not known
    bool micrometres = false;       // the tree's unit

    // What they come to: a server, and a job's parameters without root and region.
    // Throws dineuro::Error for key files that cannot be read.
    dineuro::Client client() const;
    dineuro::Json params() const;
};

// Remembered from one time to the next.
Choices remembered();
void remember(const Choices& choices);
