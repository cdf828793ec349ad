#include "menu.h"

#include <QFileInfo>
#include <QDir>
#include <QFileDialog>
#include <QMap>
#include <QMessageBox>

#include "client/errors.h"
#include "doubts_dialog.h"
#include "images.h"
#include "origins.h"
#include "messages.h"
#include "outcome.h"
#include "source.h"
#include "task_dialog.h"
#include "trace_dialog.h"
#include "trees.h"

namespace {

// The file for the tree of an image that was opened from a file.
QString swcFileOf(const QString& name) {
    const QFileInfo file(name);
    if (!file.isAbsolute() || !file.dir().exists()) return {};
    return file.dir().filePath(file.completeBaseName() + "_dineuro.swc");
}

// The same with a number, if such a file exists.
QString newFileOf(const QString& swcFile) {
    QString name = swcFile;
    for (int number = 2; QFileInfo::exists(name); ++number)
        name = swcFile.chopped(4) + QString("_%1.swc").arg(number);
    return name;
}

// The last tree that was saved for each window.
QMap<v3dhandle, QString>& savedTrees() {
    static QMap<v3dhandle, QString> files;
    return files;
}

ImageFacts factsOf(V3DPluginCallback2& callback, v3dhandle window, const Image4DSimple& image,
                   const SourceFile& source) {
    ImageFacts facts;
    const QString name = callback.getImageName(window);
    facts.name = QFileInfo(name).fileName();
    facts.channels = static_cast<int>(image.getCDim());
    facts.hasFile = source.isKnown();
    facts.sendsFile = source.isBetter();
    facts.fileReason = source.reason();
    facts.fileChannels = source.channels();
    const LandmarkList landmarks = callback.getLandmark(window);
    if (const LocationSimple* soma = somaOf(landmarks))
        facts.landmark = QString("%1, %2, %3")
                             .arg(static_cast<double>(soma->x))
                             .arg(static_cast<double>(soma->y))
                             .arg(static_cast<double>(soma->z));
    facts.tracedNodes = tracedNodes(callback, window);
    facts.hasCutBox = callback.getView3DControl(window) != nullptr;
    facts.spacing = spacingOf(image);
    facts.swcFile = newFileOf(swcFileOf(name));
    return facts;
}

dineuro::Job jobOf(V3DPluginCallback2& callback, v3dhandle window, const Image4DSimple& image,
                   const Choices& choices, const SourceFile& source) {
    dineuro::Job job;
    job.name = QFileInfo(callback.getImageName(window)).fileName().toStdString();
    job.params = choices.params();
    job.reuse = choices.reuse;
    job.mask = choices.showMask;
    job.deadline = choices.minutes * 60;
    dineuro::Json roi;
    if (choices.cutBox) {
        const View3DControl* view = callback.getView3DControl(window);
        if (!view)
            throw dineuro::Error("bad_parameter",
                                 "the image's 3D window, which defines the cut box, is closed");
        job.params["roi"] = roi = cutBoxOf(*view, image);
    }
    const LandmarkList landmarks = callback.getLandmark(window);
    const LocationSimple* soma = choices.landmark ? somaOf(landmarks) : nullptr;
    if (soma) job.params["root"] = rootOf(*soma, image, roi);
    if (choices.sendFile) {
        job.params["channel"] = choices.channel;
        divideDepth(job.params, source.slicesPerSlice(image));
    }
    return job;
}

// Which voxels the server got, where there was a choice.
QString sent(const Choices& choices, const SourceFile& source, bool byPath) {
    if (!source.isKnown()) return "The image in the window was sent.";
    if (!choices.sendFile)
        return "The image in the window was sent, not its file. " + source.reason();
    return (byPath ? "The server read the file itself, not the image in the window. "
                   : "The file was sent, not the image in the window. ") +
           source.reason();
}

// Show the windows first, so that the result is visible even if a file cannot be written.
QString deliver(V3DPluginCallback2& callback, v3dhandle window, Image4DSimple& image,
                const Choices& choices, const SourceFile& source, dineuro::Result& result) {
    const QString name = QFileInfo(callback.getImageName(window)).fileName();
    QString text = summary(result) + "\n\n" + sent(choices, source, result.byPath);
    if (choices.showMask) {
        Image4DSimple mask;
        fillMask(mask, result, choices.sendFile ? nullptr : &image);
        showMask(callback, window, mask, name + "_mask");
        bringToFront(name + "_mask");
        text += QString("\nThe enhanced volume is the window %1_mask (menu Window).").arg(name);
    }
    Drawing drawing;
    if (choices.sendFile) drawing.step = source.slicesPerSlice(image);
    if (drawing.step > 1) drawing.channel = choices.channel;
    drawing.byConfidence = choices.confidence;
    if (choices.overlay != "no") {
        auto nodes = dineuro::parseSwc(result.swc);
        const Grades grades = gradesOf(nodes, result.report);
        if (choices.confidence) nodes = gradedNodes(std::move(nodes), grades);
        for (dineuro::Node& node : nodes) node.z = drawing.windowZ(node.z);
        const bool joins = choices.overlay == "add" && tracedNodes(callback, window) > 0;
        drawTree(callback, window, neuronTreeOf(nodes, name + "_dineuro", grades),
                 joins ? callback.getSWC(window) : NeuronTree(), QString::fromStdString(result.job),
                 drawing);
    }
    keepOrigin({callback.getImageName(window), choices.swcFile, choices.server,
                QString::fromStdString(result.job), now(), drawing.step, drawing.channel, 0});
    if (choices.swcFile.isEmpty()) return text;
    saveTree(choices.swcFile, result);
    savedTrees()[window] = choices.swcFile;
    text += "\n\nSaved: " + choices.swcFile;
    if (choices.doubts && !result.doubts.empty()) {
        saveText(doubtsFileOf(choices.swcFile), result.doubts);
        text += "\nPlaces to proofread: " + doubtsFileOf(choices.swcFile);
    }
    return text;
}

void trace(V3DPluginCallback2& callback, QWidget* parent, bool enhance, v3dhandle window) {
    Image4DSimple* image = callback.getImage(window);
    if (!image || !image->valid()) throw dineuro::Error("bad_volume", "the image has no voxels");
    const QString file = callback.getImageName(window);
    const SourceFile source(file, *image);
    const ImageFacts facts = factsOf(callback, window, *image, source);
    TraceDialog dialog(remembered(), facts, enhance, parent);
    if (dialog.exec() != QDialog::Accepted) return;
    Choices choices = dialog.choices();
    remember(choices);
    if (!enhance) choices.enhancer = "none";
    std::optional<FileUpload> upload;
    if (choices.sendFile) upload.emplace(file);
    const dineuro::Volume volume = upload ? upload->volume() : channelOf(*image, choices.channel);
    const dineuro::Job job = jobOf(callback, window, *image, choices, source);
    const dineuro::Client client = choices.client();
    dineuro::Result result;
    const auto work = [&](const dineuro::Progress& progress, const dineuro::Cancelled& cancelled) {
        result = client.run(volume, job, progress, cancelled);
    };
    TaskDialog(QString::fromStdString(job.name), work, parent).run();
    const QString text = deliver(callback, window, *image, choices, source, result);
    QMessageBox::information(parent, "DINeuro", text);
}

}  // namespace

void traceFromMenu(V3DPluginCallback2& callback, QWidget* parent, bool enhance) {
    // An enhanced volume is not enhanced again, but it may be traced as it is.
    const v3dhandle window = enhance ? imageWindow(callback) : callback.currentImageWindow();
    if (!window) {
        QMessageBox::information(parent, "DINeuro", "Open an image first.");
        return;
    }
    try {
        trace(callback, parent, enhance, window);
    } catch (const dineuro::Error& error) {
        // A user who cancelled needs no message.
        if (error.code() != "cancelled") QMessageBox::critical(parent, "DINeuro", sentence(error));
    } catch (const std::exception& error) {
        QMessageBox::critical(parent, "DINeuro",
                              QString("Internal error of the plugin: %1").arg(error.what()));
    }
}

void proofread(V3DPluginCallback2& callback, QWidget* parent) {
    const v3dhandle window = imageWindow(callback);
    Image4DSimple* image = window ? callback.getImage(window) : nullptr;
    if (!image || !image->valid()) {
        QMessageBox::information(parent, "DINeuro", "Open the image first.");
        return;
    }
    QString file =
        doubtsFileOf(savedTrees().value(window, swcFileOf(callback.getImageName(window))));
    if (!QFileInfo::exists(file))
        file = QFileDialog::getOpenFileName(parent, "The places to proofread", file,
                                            "Places (*.marker)");
    if (file.isEmpty()) return;
    try {
        const SourceFile source(callback.getImageName(window), *image);
        (new DoubtsDialog(callback, window, file, source.slicesPerSlice(*image)))->show();
    } catch (const dineuro::Error& error) {
        QMessageBox::critical(parent, "DINeuro", sentence(error));
    }
}

void serverSettings(QWidget* parent) {
    ServerDialog dialog(remembered(), parent);
    if (dialog.exec() == QDialog::Accepted) remember(dialog.choices());
}

void about(QWidget* parent) { QMessageBox::about(parent, "About DINeuro", aboutText()); }
