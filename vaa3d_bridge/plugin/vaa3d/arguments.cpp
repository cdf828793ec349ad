#include "arguments.h"

#include <algorithm>

#include <QFile>
#include <QFileInfo>

namespace {

using Texts = std::vector<std::string>;

Texts textsOf(const V3DPluginArgList& list, int index) {
    Texts texts;
    if (list.size() <= index || !list.at(index).p) return texts;
    for (const char* text : *static_cast<std::vector<char*>*>(list.at(index).p))
        texts.emplace_back(text);
    return texts;
}

bool isOption(const QString& word) {
    return word.size() > 1 && word[0] == '-' && word[1].isLetter();
}

// The words after an option, up to the next one.
Texts after(const QStringList& line, const QString& option) {
    Texts words;
    const auto at = line.indexOf(option);
    for (auto i = at + 1; at >= 0 && i < line.size() && !isOption(line[i]); ++i)
        words.emplace_back(QFile::encodeName(line[i]).constData());
    return words;
}

bool startsWith(const Texts& whole, const Texts& start) {
    return start.size() <= whole.size() && std::equal(start.begin(), start.end(), whole.begin());
}

}  // namespace

Arguments argumentsOf(const QString& func, const V3DPluginArgList& input,
                      const V3DPluginArgList& output) {
    const Arguments given = {textsOf(input, 0), textsOf(output, 0), textsOf(input, 1)};
    const QStringList line = QCoreApplication::arguments();
    const Arguments asked = {after(line, "-i"), after(line, "-o"), after(line, "-p")};
    // Another plugin may call this function with lists of its own.
    const bool isOurs =
        after(line, "-f") == Texts{func.toStdString()} && startsWith(asked.inputs, given.inputs) &&
        startsWith(asked.outputs, given.outputs) && startsWith(asked.words, given.words);
    return isOurs ? asked : given;
}

QString programName() {
    const QStringList line = QCoreApplication::arguments();
    return line.isEmpty() ? "Vaa3D-x" : QFileInfo(line.first()).fileName();
}
