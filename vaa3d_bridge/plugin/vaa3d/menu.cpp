#include "menu.h"

#include <QFileInfo>
#include <QDir>
#include <QMessageBox>

#include "client/errors.h"
#include "images.h"
#include "messages.h"
#include "outcome.h"
#include "task_dialog.h"
#include "trace_dialog.h"

namespace {

// The file for the tree of an image that was opened from a file.
QString swcFileOf(const QString& name) {
    const QFileInfo file(name);
    if (!file.isAbsolute() || !file.dir().exists()) return {};
    return file.dir().filePath(file.completeBaseName() + "_dineuro.swc");
}

ImageFacts factsOf(V3DPluginCallback2& callback, v3dhandle window, const Image4DSimple& image) {
    ImageFacts facts;
    const QString name = callback.getImageName(window);
    facts.name = QFileInfo(name).fileName();
    facts.channels = static_cast<int>(image.getCDim());
    facts.hasLandmark = !callback.getLandmark(window).isEmpty();
    facts.hasCutBox = callback.getView3DControl(window) != nullptr;
    facts.spacing = spacingOf(image);
    facts.swcFile = swcFileOf(name);
    return facts;
}

dineuro::Job jobOf(V3DPluginCallback2& callback, v3dhandle window, const Image4DSimple& image,
                   const Choices& choices, const QString& name) {
    dineuro::Job job;
    job.name = name.toStdString();
    job.params = choices.params();
    job.reuse = choices.reuse;
    job.mask = choices.showMask;
    job.deadline = choices.minutes * 60;
    const LandmarkList landmarks = callback.getLandmark(window);
    if (choices.landmark && !landmarks.isEmpty())
        job.params["root"] = rootOf(landmarks.first(), image);
    if (choices.cutBox) {
        const View3DControl* view = callback.getView3DControl(window);
        if (!view)
            throw dineuro::Error("bad_parameter",
                                 "the image's 3D window, which defines the cut box, is closed");
        job.params["roi"] = cutBoxOf(*view, image);
    }
    return job;
}

// Show the windows first, so that the result is visible even if a file cannot be written.
QString deliver(V3DPluginCallback2& callback, v3dhandle window, Image4DSimple& image,
                const Choices& choices, const QString& name, dineuro::Result& result) {
    QString text = summary(result);
    if (choices.showMask) {
        Image4DSimple mask;
        fillMask(mask, result, image);
        showMask(callback, mask, name + "_mask");
    }
    if (choices.overlay) drawTree(callback, window, result.swc, name + "_dineuro");
    if (choices.swcFile.isEmpty()) return text;
    saveText(choices.swcFile, result.swc);
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
    const ImageFacts facts = factsOf(callback, window, *image);
    TraceDialog dialog(remembered(), facts, enhance, parent);
    if (dialog.exec() != QDialog::Accepted) return;
    Choices choices = dialog.choices();
    remember(choices);
    if (!enhance) choices.enhancer = "none";
    const dineuro::Volume volume = channelOf(*image, choices.channel);
    const dineuro::Job job = jobOf(callback, window, *image, choices, facts.name);
    TaskDialog running(choices.client(), volume, job, parent);
    dineuro::Result result = running.run();
    const QString text = deliver(callback, window, *image, choices, facts.name, result);
    QMessageBox::information(parent, "DINeuro", text);
}

}  // namespace

void traceFromMenu(V3DPluginCallback2& callback, QWidget* parent, bool enhance) {
    const v3dhandle window = callback.currentImageWindow();
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

void serverSettings(QWidget* parent) {
    ServerDialog dialog(remembered(), parent);
    if (dialog.exec() == QDialog::Accepted) remember(dialog.choices());
}

void about(QWidget* parent) { QMessageBox::about(parent, "About DINeuro", aboutText()); }
