// The user's choices, from the dialog or the command line.
#pragma once

#include <optional>

#include <QString>

#include "client/client.h"

struct Choices {
    QString server = "tcp://127.0.0.1:5599";
    QString key;         // the file NAME.key_secret; both files are empty on loopback
    QString serverKey;   // the file server.key
    double minutes = 0;  // the time limit of a job; 0 is no limit
    bool reuse = true;   // whether a stored result may be the answer

    bool sendFile = false;  // the file of the window instead of its image
    int channel = 1;        // from 1
    bool cutBox = false;    // the 3D window's cut box instead of the whole image
    bool landmark = true;   // the first landmark, if any, is the soma
    bool showMask = true;
    QString overlay = "add";  // the tree in the 3D window: "add", "replace", "no"
    bool confidence = false;  // colour it by confidence instead of by type
    QString swcFile;          // empty: do not save the tree
    bool doubts = true;       // save the places to proofread beside the SWC

    QString contrast = "auto";  // "auto", "bright", "dark": the neurites
    QString enhancer = "auto";  // "auto", "dineuro", "classical", "none"
    QString model;              // empty: the server's default
    int threshold = 128;
    double minLength = 3;
    double gap = 60;
    QString trees = "auto";
    bool keepSpines = false;
    double minConfidence = 0.5;
    int passes = 2;                 // the most passes
    double spacing[3] = {0, 0, 0};  // x, y, z in micrometres; 0 is unknown
    bool micrometres = false;       // the unit of the tree

    // The client of the server, and the parameters of a job without root and region.
    // Throws dineuro::Error if a key file cannot be read.
    dineuro::Client client() const;
    dineuro::Json params() const;
};

// The choices of the last trace, which the plugin stores.
Choices remembered();
void remember(const Choices& choices);
