// Corrections on their way to the server: what is sent, in which order.
#pragma once

#include <QList>

#include "client/editor.h"
#include "corrections.h"

// A decision about a place to proofread.
struct Answer {
    int doubt = 0;  // its number, from 1
    bool accepted = false;
    double x = 0, y = 0, z = 0;  // voxels of the tree
};

// The tree of a job on the server, and its edits.
struct Present {
    std::uint64_t revision = 0;
    dineuro::Json record;
    std::vector<dineuro::Node> tree;
};

// Throws dineuro::Error.
Present presentOf(dineuro::Editor& editor);

// The answers that the server does not have yet.
QList<Answer> newAnswers(const QList<Answer>& answers, const Present& present);

// Who edited the tree after a revision, as a sentence.
QString editsAfter(const dineuro::Json& record, std::uint64_t revision);

struct Sent {
    std::uint64_t revision = 0;
    int answers = 0, refused = 0;
    bool isOther = false;  // whether the server's tree is another one than the image shows
};

// Send a tree and answers that are based on `present`. The answer to a wrong place changes the
// server's tree, unless the user has corrected the place in the tree.
// Throws dineuro::Error, "outdated" if somebody else has edited the tree meanwhile.
Sent send(dineuro::Editor& editor, const Present& present, const Correction& correction,
          const QList<Answer>& answers);
