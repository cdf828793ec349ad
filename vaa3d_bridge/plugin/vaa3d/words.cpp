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
    if (!ok || !std::isfinite(n)) refuse(QString("%1=%2: is not a number").arg(key, value));
    return n;
}

int whole(const QString& key, const QString& value) {
    bool ok = false;
    const int n = QLocale::c().toInt(value, &ok);
    if (!ok) refuse(QString("%1=%2: is not a whole number").arg(key, value));
    return n;
}

bool yes(const QString& key, const QString& value) {
    if (value == "yes" || value == "1" || value == "true") return true;
    if (value == "no" || value == "0" || value == "false") return false;
    refuse(QString("%1=%2: must be yes or no").arg(key, value));
}

QString one(const QString& key, const QString& value, const QStringList& allowed) {
    if (!allowed.contains(value))
        refuse(QString("%1=%2: must be one of %3").arg(key, value, allowed.join(", ")));
    return value;
}

std::vector<double> numbers(const QString& key, const QString& value, int count) {
    std::vector<double> values;
    for (const QString& part : value.split(',')) {
        bool ok = false;
        values.push_back(QLocale::c().toDouble(part, &ok));
        if (!ok || !std::isfinite(values.back())) break;
        if (static_cast<int>(values.size()) == count && value.count(',') == count - 1)
            return values;
    }
    refuse(QString("%1=%2: needs %3 numbers, separated by commas").arg(key, value).arg(count));
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
        {"key", "your NAME.key_secret, for a server that requires keys",
         [](W w, S, S v) { w.choices.key = v; }},
        {"server_key", "the server's server.key", [](W w, S, S v) { w.choices.serverKey = v; }},
        {"channel", "counted from 1 [1]", [](W w, S k, S v) { w.choices.channel = whole(k, v); }},
        {"root", "x,y,z of the soma in voxels from 0 [detected]",
         [](W w, S k, S v) { w.root = numbers(k, v, 3); }},
        {"marker", "a .marker file, whose first marker is the soma",
         [](W w, S, S v) { w.marker = v; }},
        {"roi", "x0,y0,z0,x1,y1,z1: only this box; the upper ends are excluded [all]",
         [](W w, S k, S v) {
             dineuro::Json box = dineuro::Json::array();
             for (double n : numbers(k, v, 6)) {
                 if (n != std::floor(n)) refuse(QString("%1=%2: needs whole numbers").arg(k, v));
                 box.push_back(static_cast<long>(n));
             }
             w.roi = box;
         }},
        {"spacing", "x,y,z: the voxel size in micrometres [the image's own]",
         [](W w, S k, S v) {
             const auto size = numbers(k, v, 3);
             std::copy(size.begin(), size.end(), w.choices.spacing);
             if (!(size[0] > 0 && size[1] > 0 && size[2] > 0))
                 refuse(QString("%1=%2: must be more than 0").arg(k, v));
         }},
        {"units", "the unit of the tree: voxel or um [voxel]",
         [](W w, S k, S v) { w.choices.micrometres = one(k, v, {"voxel", "um"}) == "um"; }},
        {"contrast", "neurites that are bright, dark, or as the image shows [auto]",
         [](W w, S k, S v) { w.choices.contrast = one(k, v, {"auto", "bright", "dark"}); }},
        {"enhancer", "auto, dineuro (the network), classical or none [auto]",
         [](W w, S k, S v) {
             w.choices.enhancer = one(k, v, {"auto", "dineuro", "classical", "none"});
         }},
        {"model", "a network of the server [the server's default]",
         [](W w, S, S v) { w.choices.model = v; }},
        {"threshold", "the least value of a neurite, 1 to 255 [128]",
         [](W w, S k, S v) { w.choices.threshold = whole(k, v); }},
        {"min_length", "the shortest branch in voxels [3]",
         [](W w, S k, S v) { w.choices.minLength = number(k, v); }},
        {"gap", "the longest joined gap in voxels; above 40 only between large parts [60]",
         [](W w, S k, S v) { w.choices.gap = number(k, v); }},
        {"trees",
         "one neuron, all neurons and pieces, or what the image shows: auto, one or all [auto]",
         [](W w, S k, S v) { w.choices.trees = one(k, v, {"auto", "one", "all"}); }},
        {"spines", "short side branches of thick neurites: drop, or keep as SWC type 7 [drop]",
         [](W w, S k, S v) { w.choices.keepSpines = one(k, v, {"drop", "keep"}) == "keep"; }},
        {"min_confidence", "0 to 1: less certain branches are removed [0.5]",
         [](W w, S k, S v) { w.choices.minConfidence = number(k, v); }},
        {"passes", "1 or 2: with 2, uncertain stacks are enhanced again where that helps [2]",
         [](W w, S k, S v) { w.choices.passes = whole(k, v); }},
        {"mask", "yes: also write the enhanced volume beside each input [no]",
         [](W w, S k, S v) { w.mask = yes(k, v); }},
        {"doubts", "yes: also write a .marker file of the places to proofread [no]",
         [](W w, S k, S v) { w.choices.doubts = yes(k, v); }},
        {"minutes", "the time limit of a job; 0 is no limit [0]",
         [](W w, S k, S v) { w.choices.minutes = number(k, v); }},
        {"reuse", "no: do not use a stored result of the server [yes]",
         [](W w, S k, S v) { w.choices.reuse = yes(k, v); }},
    };
    return words;
}

}  // namespace

Words parseWords(const std::vector<std::string>& words) {
    Words result;
    result.choices.doubts = false;
    QStringList keys, used;
    for (const Word& word : allWords()) keys << word.key;
    for (const std::string& raw : words) {
        const QString text = QString::fromLocal8Bit(raw.c_str());
        const auto equals = text.indexOf('=');
        const QString key = text.left(equals);
        const auto at = equals < 1 ? -1 : keys.indexOf(key);
        if (at < 0)
            refuse(QString("'%1': is not a parameter; use key=value with one of the keys %2")
                       .arg(text, keys.join(", ")));
        if (used.contains(key)) refuse(QString("%1: is repeated").arg(key));
        used << key;
        const QString value = text.mid(equals + 1);
        if (value.isEmpty()) refuse(QString("%1=: has no value").arg(key));
        allWords()[static_cast<std::size_t>(at)].take(result, key, value);
    }
    if (result.root && !result.marker.isEmpty()) refuse("root and marker: give one of them");
    return result;
}

QString wordsHelp() {
    QString text;
    for (const Word& word : allWords())
        text += QString("    %1 %2\n").arg(QString(word.key) + "=", -12).arg(word.meaning);
    return text;
}
