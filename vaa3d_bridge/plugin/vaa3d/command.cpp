#include "command.h"

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <QDir>
#include <QFile>
#include <QFileInfo>

#include "client/errors.h"
#include "images.h"
#include "messages.h"
#include "outcome.h"
#include "words.h"

namespace {

using Texts = std::vector<std::string>;

Texts textsOf(const V3DPluginArgList& list, int index) {
    Texts texts;
    if (list.size() <= index || !list.at(index).p) return texts;
    for (const char* text : *static_cast<std::vector<char*>*>(list.at(index).p))
        texts.emplace_back(text);
    return texts;
}

// One input and the files of its results. An empty name is a result that is not written.
struct Plan {
    QString input, swc, mask;
};

bool isTree(const QString& file) { return file.endsWith(".swc", Qt::CaseInsensitive); }

QString beside(const QString& input, const QString& ending) {
    const QFileInfo file(input);
    return file.dir().filePath(file.completeBaseName() + ending);
}

std::vector<Plan> plansOf(const Texts& inputs, const Texts& outputs, bool mask) {
    QStringList trees, masks;
    for (const std::string& output : outputs) {
        const QString file = QFile::decodeName(output.c_str());
        (isTree(file) ? trees : masks) << file;
    }
    const auto count = static_cast<qsizetype>(inputs.size());
    const auto refuse = [](const char* why) { throw dineuro::Error("bad_parameter", why); };
    if (inputs.empty()) refuse("give the image: -i IMAGE");
    if (!trees.isEmpty() && trees.size() != count)
        refuse(
            "-o: give one .swc for each input, or none; by default X_dineuro.swc is written beside X");
    if (!masks.isEmpty() && masks.size() != count)
        refuse("-o: give one mask (.v3draw, .tif) for each input, or none");
    std::vector<Plan> plans;
    QStringList taken;
    for (int i = 0; i < count; ++i) {
        const QString input = QFile::decodeName(inputs[static_cast<std::size_t>(i)].c_str());
        Plan plan{input, trees.isEmpty() ? beside(input, "_dineuro.swc") : trees[i],
                  !masks.isEmpty() ? masks[i]
                  : mask           ? beside(input, "_mask.v3draw")
                                   : QString()};
        for (const QString& file : {plan.swc, plan.mask}) {
            if (!file.isEmpty() && taken.contains(QFileInfo(file).absoluteFilePath()))
                throw dineuro::Error("bad_parameter",
                                     (file + ": two results have this name").toStdString());
            taken << QFileInfo(file).absoluteFilePath();
        }
        plans.push_back(plan);
    }
    return plans;
}

dineuro::Json firstMarker(const QString& file, const Image4DSimple& image) {
    std::ifstream lines(QFile::encodeName(file).constData());
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line[0] == '#') continue;
        float at[3];
        if (std::sscanf(line.c_str(), "%f,%f,%f", at, at + 1, at + 2) != 3) break;
        LocationSimple landmark(0, 0, 0);
        landmark.x = at[0], landmark.y = at[1], landmark.z = at[2];
        return rootOf(landmark, image);
    }
    throw dineuro::Error("bad_parameter", file.toStdString() + ": contains no marker");
}

// Write all files, or none.
void write(V3DPluginCallback2& callback, const Plan& plan, const Choices& choices,
           const Image4DSimple& image, dineuro::Result& result) {
    QStringList written;
    try {
        if (!plan.mask.isEmpty()) {
            Image4DSimple mask;
            fillMask(mask, result, image);
            saveImage(callback, mask, plan.mask);
            written << plan.mask;
        }
        if (choices.doubts) {
            saveText(doubtsFileOf(plan.swc), result.doubts);
            written << doubtsFileOf(plan.swc);
        }
        saveText(plan.swc, result.swc);
    } catch (...) {
        for (const QString& file : written) QFile::remove(file);
        throw;
    }
}

void traceOne(V3DPluginCallback2& callback, const dineuro::Client& client, const Words& words,
              const Plan& plan, bool enhance) {
    QByteArray name = QFile::encodeName(plan.input);
    if (!QFileInfo::exists(plan.input))
        throw dineuro::Error("file_access", "there is no such file");
    const std::unique_ptr<Image4DSimple> image(callback.loadImage(name.data()));
    if (!image || !image->valid()) throw dineuro::Error("bad_file", "Vaa3D cannot read it");
    Choices choices = words.choices;
    if (!enhance) choices.enhancer = "none";
    const std::vector<double> spacing = spacingOf(*image);
    if (!(choices.spacing[0] > 0)) std::copy(spacing.begin(), spacing.end(), choices.spacing);
    dineuro::Job job;
    job.name = QFileInfo(plan.input).fileName().toStdString();
    job.params = choices.params();
    job.reuse = choices.reuse;
    job.mask = !plan.mask.isEmpty();
    job.deadline = choices.minutes * 60;
    if (words.root) job.params["root"] = *words.root;
    if (words.roi) job.params["roi"] = *words.roi;
    if (!words.marker.isEmpty()) job.params["root"] = firstMarker(words.marker, *image);
    std::string last;
    const auto progress = [&](const std::string& stage, std::uint64_t, std::uint64_t) {
        if (stage != last) say("  " + stageName(QString::fromStdString(stage)));
        last = stage;
    };
    dineuro::Result result = client.run(channelOf(*image, choices.channel), job, progress);
    write(callback, plan, choices, *image, result);
    say("  " + summary(result));
}

}  // namespace

bool traceFromCommand(V3DPluginCallback2& callback, const V3DPluginArgList& input,
                      const V3DPluginArgList& output, bool enhance) {
    try {
        const Words words = parseWords(textsOf(input, 1));
        const auto plans = plansOf(textsOf(input, 0), textsOf(output, 0), words.mask);
        const dineuro::Client client = words.choices.client();
        bool all = true;
        for (const Plan& plan : plans) {
            say(plan.input + ":");
            try {
                traceOne(callback, client, words, plan, enhance);
                say("  -> " + plan.swc);
            } catch (const std::exception& error) {
                const auto* known = dynamic_cast<const dineuro::Error*>(&error);
                say("dineuro: error: " + plan.input + ": " +
                    (known ? sentence(*known) : QString(error.what())));
                all = false;
            }
        }
        return all;
    } catch (const dineuro::Error& error) {
        say("dineuro: error: " + sentence(error));
        return false;
    }
}

QString commandHelp() {
    return QString(
               "DINeuro %1: enhances and traces images on a DINeuro server\n\n"
               "  vaa3d -x dineuro -f enhance_trace -i IMAGE... [-o TREE.swc... [MASK.v3draw...]] [-p KEY=VALUE...]\n"
               "  vaa3d -x dineuro -f trace         the same, with the intensity of the image itself\n"
               "  vaa3d -x dineuro -f help\n\n"
               "Without -o the tree of X is X_dineuro.swc beside it. Coordinates are voxels of the whole image, counted from 0.\n"
               "An input that fails writes no file. The other inputs are still processed.\n\n"
               "  -p  KEY=VALUE, separated by blanks (without brackets, and without blanks around '='):\n\n")
               .arg(DINEURO_VERSION) +
           wordsHelp();
}
