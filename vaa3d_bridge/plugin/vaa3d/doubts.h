// The places of a tree to proofread, and what the user decided about them.
#pragma once

#include <QList>
#include <QString>

struct Doubt {
    double x = 0, y = 0, z = 0;  // voxels from 1, as Vaa3D counts
    QString name, says;
    QString decision;  // "accepted": the tree is right here; "rejected": it is wrong; or empty
};

// The places of a .marker file. Throws dineuro::Error("bad_file") if it has none.
QList<Doubt> readDoubts(const QString& file);

// out_doubts.marker -> out_decisions.csv
QString decisionsFileOf(const QString& doubtsFile);

// Add the decisions of a file to the places that they are about. A missing file has none.
void readDecisions(QList<Doubt>& doubts, const QString& file);

// The places of a saved tree that are decided. Without a file there are none.
QList<Doubt> decidedDoubts(const QString& swcFile);

// Write the decisions as x,y,z,name,decision, with voxels from 0 as in an SWC.
// Throws dineuro::Error("file_access").
void saveDecisions(const QList<Doubt>& doubts, const QString& file);
