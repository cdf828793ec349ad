// Which job of which server made the trees of an image.
#pragma once

#include <QList>
#include <QString>

#include <cstdint>

struct Origin {
    QString image;   // the name of its window, which is its file
    QString swc;     // the file of the tree; empty if it was not saved
    QString server;  // the address
    QString job;
    QString time;                // when it was traced, as text
    int step = 1, channel = 1;   // of its drawing, see Drawing
    std::uint64_t revision = 0;  // the edits of the tree that the user knows
};

// The present time for `Origin::time`.
QString now();

// Keep the origin of a tree beyond this session; the last thousand are kept. It takes the place of
// the one with the same job and image.
void keepOrigin(const Origin& origin);

// The origins of an image's trees, the newest first.
QList<Origin> originsOf(const QString& image);
