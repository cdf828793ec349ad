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
#include "origins.h"
#include "outcome.h"
#include "source.h"
#include "words.h"

namespace {

using Texts = std::vector<std::string>;

// One input and the files of its results. An empty name is a result that is not written.
struct Plan {
    QString input, swc, mask;
};

bool isTree(const QString& file) {
    return file.endsWith(".swc", Qt::CaseInsensitive) ||
           file.endsWith(".eswc", Qt::CaseInsensitive);
}

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
            "-o: give one .swc or .eswc for each input, or none; by default X_dineuro.swc is written beside X");
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

LocationSimple firstMarker(const QString& file) {
    std::ifstream lines(QFile::encodeName(file).constData());
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line[0] == '#') continue;
        LocationSimple marker;
        if (std::sscanf(line.c_str(), "%f,%f,%f", &marker.x, &marker.y, &marker.z) != 3) break;
        return marker;
    }
    throw dineuro::Error("bad_parameter", file.toStdString() + ": contains no marker");
}

// Write all files, or none.
void write(V3DPluginCallback2& callback, const Plan& plan, const Choices& choices,
           const Image4DSimple* image, dineuro::Result& result) {
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
        saveTree(plan.swc, result);
    } catch (...) {
        for (const QString& file : written) QFile::remove(file);
        throw;
    }
}

// The input of one job: its file, or what Vaa3D reads of a file that the server does not know.
struct Input {
    std::optional<FileUpload> upload;
    std::unique_ptr<Image4DSimple> image;

    Input(V3DPluginCallback2& callback, const QString& name) {
        QByteArray file = QFile::encodeName(name);
        if (!QFileInfo::exists(name)) throw dineuro::Error("file_access", "there is no such file");
        if (isReadByServer(name)) {
            upload.emplace(name);
            return;
        }
        image.reset(callback.loadImage(file.data()));
        if (!image || !image->valid()) throw dineuro::Error("bad_file", "Vaa3D cannot read it");
    }
};

dineuro::Job jobOf(const Words& words, const Plan& plan, const Input& input, bool enhance) {
    Choices choices = words.choices;
    if (!enhance) choices.enhancer = "none";
    if (input.image && !(choices.spacing[0] > 0)) {
        const std::vector<double> spacing = spacingOf(*input.image);
        std::copy(spacing.begin(), spacing.end(), choices.spacing);
    }
    dineuro::Job job;
    job.name = QFileInfo(plan.input).fileName().toStdString();
    job.params = choices.params();
    job.reuse = choices.reuse;
    job.mask = !plan.mask.isEmpty();
    job.deadline = choices.minutes * 60;
    if (input.upload) job.params["channel"] = choices.channel;
    if (words.root) job.params["root"] = *words.root;
    if (words.roi) job.params["roi"] = *words.roi;
    if (!words.marker.isEmpty()) job.params["root"] = placeOf(firstMarker(words.marker));
    return job;
}

// The server counts from 0, and the file of a marker counts from 1.
dineuro::Result run(const dineuro::Client& client, const dineuro::Volume& volume,
                    const dineuro::Job& job, const dineuro::Progress& progress,
                    const QString& marker) {
    try {
        return client.run(volume, job, progress);
    } catch (const dineuro::Error& error) {
        if (marker.isEmpty() || std::string(error.what()).find(": root (") == std::string::npos)
            throw;
        throw dineuro::Error(
            "bad_parameter",
            marker.toStdString() + ": its first marker lies outside the image or the roi");
    }
}

void traceOne(V3DPluginCallback2& callback, const dineuro::Client& client, const Words& words,
              const Plan& plan, bool enhance) {
    const Input input(callback, plan.input);
    const dineuro::Job job = jobOf(words, plan, input, enhance);
    std::string last;
    const auto progress = [&](const std::string& stage, std::uint64_t, std::uint64_t) {
        if (stage != last) say("  " + stageName(QString::fromStdString(stage)));
        last = stage;
    };
    const dineuro::Volume volume =
        input.upload ? input.upload->volume() : channelOf(*input.image, words.choices.channel);
    dineuro::Result result = run(client, volume, job, progress, words.marker);
    write(callback, plan, words.choices, input.image.get(), result);
    // A tree in micrometres does not lie over its image.
    const auto absolute = [](const QString& file) { return QFileInfo(file).absoluteFilePath(); };
    if (!words.choices.micrometres)
        keepOrigin({absolute(plan.input), absolute(plan.swc), words.choices.server,
                    QString::fromStdString(result.job), now(), 1, 1, 0});
    if (result.byPath) say("  the server read the file itself");
    say("  " + summary(result));
}

}  // namespace

bool traceFromCommand(V3DPluginCallback2& callback, const Arguments& arguments, bool enhance) {
    try {
        const Words words = parseWords(arguments.words);
        const auto plans = plansOf(arguments.inputs, arguments.outputs, words.mask);
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
               "  %2 -x dineuro -f enhance_trace -i IMAGE... [-o TREE.swc... [MASK.v3draw...]] [-p KEY=VALUE...]\n"
               "  %2 -x dineuro -f trace         the same, with the intensity of the image itself\n"
               "  %2 -x dineuro -f help\n\n"
               "A tree with the name .eswc also has the confidence of each segment.\n"
               "Without -o the tree of X is X_dineuro.swc beside it. Coordinates are voxels of the whole image, counted from 0.\n"
               "An input that fails writes no file. The other inputs are still processed.\n\n"
               "  -p  KEY=VALUE, separated by blanks (without brackets, and without blanks around '='):\n\n")
               .arg(DINEURO_VERSION, programName()) +
           wordsHelp();
}
