#include "doubts.h"

#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QStringList>

#include "client/errors.h"
#include "outcome.h"

namespace {

QStringList linesOf(const QString& file) {
    QFile in(file);
    if (!in.open(QIODevice::ReadOnly | QIODevice::Text)) return {};
    return QString::fromUtf8(in.readAll()).split('\n');
}

QString placeOf(const Doubt& doubt) {
    const auto text = [](double value) { return QString::number(value - 1, 'f', 3); };
    return text(doubt.x) + "," + text(doubt.y) + "," + text(doubt.z);
}

}  // namespace

QList<Doubt> readDoubts(const QString& file) {
    QList<Doubt> doubts;
    for (const QString& line : linesOf(file)) {
        const QStringList words = line.split(',');
        if (line.startsWith('#') || words.size() < 7) continue;
        Doubt doubt;
        bool x = false, y = false, z = false;
        doubt.x = words[0].toDouble(&x);
        doubt.y = words[1].toDouble(&y);
        doubt.z = words[2].toDouble(&z);
        doubt.name = words[5].trimmed();
        doubt.says = words[6].trimmed();
        if (x && y && z) doubts << doubt;
    }
    if (doubts.isEmpty())
        throw dineuro::Error("bad_file", (file + ": has no places to proofread").toStdString());
    return doubts;
}

QString decisionsFileOf(const QString& doubtsFile) {
    const QFileInfo file(doubtsFile);
    QString stem = file.completeBaseName();
    if (stem.endsWith("_doubts")) stem.chop(7);
    return file.dir().filePath(stem + "_decisions.csv");
}

void readDecisions(QList<Doubt>& doubts, const QString& file) {
    const QStringList lines = linesOf(file);
    for (Doubt& doubt : doubts)
        for (const QString& line : lines)
            if (line.startsWith(placeOf(doubt) + ",")) doubt.decision = line.section(',', -1);
}

QList<Doubt> decidedDoubts(const QString& swcFile) {
    const QString file = doubtsFileOf(swcFile);
    if (swcFile.isEmpty() || !QFileInfo::exists(file)) return {};
    QList<Doubt> decided;
    try {
        QList<Doubt> doubts = readDoubts(file);
        readDecisions(doubts, decisionsFileOf(file));
        for (const Doubt& doubt : doubts)
            if (!doubt.decision.isEmpty()) decided << doubt;
    } catch (const dineuro::Error&) {
        return {};  // a tree without places to proofread
    }
    return decided;
}

void saveDecisions(const QList<Doubt>& doubts, const QString& file) {
    QString text = "x,y,z,name,decision\n";
    for (const Doubt& doubt : doubts)
        if (!doubt.decision.isEmpty())
            text += placeOf(doubt) + "," + doubt.name + "," + doubt.decision + "\n";
    saveText(file, text.toStdString());
}
