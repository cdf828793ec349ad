#include "words.h"

#include <cmath>
#include <functional>

#include <QLocale>
#include <QStringList>

#include "client/errors.h"

namespace {

[[noreturn]] void refuse(const QString& text) {
    throw dineuro::Error("bad_parameter", text.toStdString());
}

double number(const QString& key, const QString& value) {
    bool ok = false;
    const double n = QLocale::c().toDouble(value, &ok);
    if (!ok || !std::isfinite(n)) refuse(QString("%1=%2: is no number").arg(key, value));
    return n;
}

int whole(const QString& key, const QString& value) {
    bool ok = false;
    const int n = QLocale::c().toInt(value, &ok);
    if (!ok) refuse(QString("%1=%2: is no whole number").arg(key, value));
    return n;
}

bool yes(const QString& key, const QString& value) {
    if (value == "yes" || value == "1" || value == "true") return true;
    if (value == "no" || value == "0" || value == "false") return false;
    refuse(QString("%1=%2: is yes or no").arg(key, value));
}

QString one(const QString& key, const QString& value, const QStringList& allowed) {
    if (!allowed.contains(value))
        refuse(QString("%1=%2: is one of %3").arg(key, value, allowed.join(", ")));
    return value;
}

std::vector<double> numbers(const QString& key, const QString& value, int count) {
    std::vector<double> found;
    for (const QString& part : value.split(',')) {
        bool ok = false;
        found.push_back(QLocale::c().toDouble(part, &ok));
        if (!ok || !std::isfinite(found.back())) break;
        if (static_cast<int>(found.size()) == count && value.count(',') == count - 1) return found;
    }
    refuse(QString("%1=%2: needs %3 numbers with commas between them").arg(key, value).arg(count));
}

struct Word {
    const char* key;
    const char* meaning;
    std::function<void(Words&, const QString& key, const QString& value)> take;
};

const std::vector<Word>& allWords() {
    using W = Words&;
    using S = const QString&;
    static const std::vector<Word> words = {
        {"server", "tcp://HOST:PORT of the server [tcp://127.0.0.1:5599]",
         [](W w, S, S v) { w.choices.server = v; }},
        {"key", "your own NAME.key_secret, for a server that asks for keys",
         [](W w, S, S v) { w.choices.key = v; }},
        {"server_key", "the server's server.key", [](W w, S, S v) { w.choices.serverKey = v; }},
        {"channel", "counted from 1 [1]", [](W w, S k, S v) { w.choices.channel = whole(k, v); }},
        {"root", "x,y,z of the soma in voxels from 0 [found]",
         [](W w, S k, S v) { w.root = numbers(k, v, 3); }},
        {"marker", "a .marker file, whose first marker is the soma",
         [](W w, S, S v) { w.marker = v; }},
        {"roi", "x0,y0,z0,x1,y1,z1: only this box, the second corner not in it [all]",
         [](W w, S k, S v) {
             dineuro::Json box = dineuro::Json::array();
             for (double n : numbers(k, v, 6)) {
                 if (n != std::floor(n)) refuse(QString("%1=%2: needs whole numbers").arg(k, v));
                 box.push_back(static_cast<long>(n));
             }
             w.roi = box;
         }},
        {"spacing", "x,y,z: the voxel's size in micrometres [as the image knows it]",
         [](W w, S k, S v) {
             const auto size = numbers(k, v, 3);
             std::copy(size.begin(), size.end(), w.choices.spacing);
             if (!(size[0] > 0 && size[1] > 0 && size[2] > 0))
                 refuse(QString("%1=%2: must be more than 0").arg(k, v));
         }},
        {"units", "of the tree: voxel or um [voxel]",
         [](W w, S k, S v) { w.choices.micrometres = one(k, v, {"voxel", "um"}) == "um"; }},
        {"enhancer", "auto, dineuro (the network), classical or none [auto]",
         [](W w, S k, S v) {
             w.choices.enhancer = one(k, v, {"auto", "dineuro", "classical", "none"});
         }},
        {"model", "a network of the server [its own choice]",
         [](W w, S, S v) { w.choices.model = v; }},
        {"threshold", "1 to 255, of the enhanced volume [128]",
         [](W w, S k, S v) { w.choices.threshold = whole(k, v); }},
        {"min_length", "shorter branches are left out, in voxels [3]",
         [](W w, S k, S v) { w.choices.minLength = number(k, v); }},
        {"gap", "the longest gap that is joined, in voxels; over 40 large parts alone [60]",
         [](W w, S k, S v) { w.choices.gap = number(k, v); }},
        {"trees", "one neuron, or all that is there: one or all [one]",
         [](W w, S k, S v) { w.choices.allTrees = one(k, v, {"one", "all"}) == "all"; }},
        {"min_confidence", "0 to 1: branches that are less likely right are taken off [0.5]",
         [](W w, S k, S v) { w.choices.minConfidence = number(k, v); }},
        {"passes", "1, or 2: what is uncertain is judged again where that helps [2]",
         [](W w, S k, S v) { w.choices.passes = whole(k, v); }},
        {"mask", "yes: the enhanced volume too, beside each input [no]",
         [](W w, S k, S v) { w.mask = yes(k, v); }},
        {"doubts", "yes: a .marker file of the places to look at first [no]",
         [](W w, S k, S v) { w.choices.doubts = yes(k, v); }},
        {"minutes", "until a job is given up, 0 is never [0]",
         [](W w, S k, S v) { w.choices.minutes = number(k, v); }},
        {"reuse", "no: do not take an answer that the server has already [yes]",
         [](W w, S k, S v) { w.choices.reuse = yes(k, v); }},
    };
    return words;
}

}  // namespace

Words parseWords(const std::vector<std::string>& words) {
    Words made;
    made.choices.doubts = false;
    QStringList keys, seen;
    for (const Word& word : allWords()) keys << word.key;
    for (const std::string& raw : words) {
        const QString text = QString::fromLocal8Bit(raw.c_str());
        const auto equals = text.indexOf('=');
        const QString key = text.left(equals);
        const auto at = equals < 1 ? -1 : keys.indexOf(key);
        if (at < 0)
            refuse(QString("'%1': is no parameter; say key=value, with a key of %2")
                       .arg(text, keys.join(", ")));
        if (seen.contains(key)) refuse(QString("%1: is given twice").arg(key));
        seen << key;
        const QString value = text.mid(equals + 1);
        if (value.isEmpty()) refuse(QString("%1=: has no value").arg(key));
        allWords()[static_cast<std::size_t>(at)].take(made, key, value);
    }
    if (made.root && !made.marker.isEmpty()) refuse("root and marker: give one of them");
    return made;
}

QString wordsHelp() {
    QString text;
    for (const Word& word : allWords())
        text += QString("    %1 %2\n").arg(QString(word.key) + "=", -12).arg(word.meaning);
    return text;
}
