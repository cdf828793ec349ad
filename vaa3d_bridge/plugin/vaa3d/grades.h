// How far each part of a tree can be trusted, by the server's report.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "client/protocol.h"
#include "client/swc.h"

// The grades of a node's segment, from fork to fork. A root is in no segment.
struct Grade {
    long segment = -1;
    long level = 0;  // the segments between this one and its root
    double confidence = 1, probability = 1, contrast = 1, gapShare = 0, tortuosity = 1;
};
using Grades = std::unordered_map<long, Grade>;  // by the ids of nodes

// The grades of a report. A report without segments gives none.
Grades gradesOf(const std::vector<dineuro::Node>& nodes, const dineuro::Json& report);

// The nodes with types that Vaa3D shows in green (sure), yellow and red (in doubt). Nodes without a
// grade keep their type.
std::vector<dineuro::Node> gradedNodes(std::vector<dineuro::Node> nodes, const Grades& grades);

// The text of an SWC file as ESWC, with the columns that `dineuro trace -o tree.eswc` writes.
std::string eswcText(const std::string& swc, const Grades& grades);
