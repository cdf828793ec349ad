#include "outcome.h"

#include <map>

#include <QApplication>
#include <QCryptographicHash>
#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QMdiArea>
#include <QMdiSubWindow>
#include <QSaveFile>
#include <QTimer>

#include "client/errors.h"
#include "trees.h"

namespace {

[[noreturn]] void fail(const QString& file, const QString& why) {
    throw dineuro::Error("file_access", (file + ": cannot be written: " + why).toStdString());
}

// What Vaa3D returns of a tree is no longer the tree that it was given, so the digest is of that.
QByteArray digestOf(const NeuronTree& tree) {
    QCryptographicHash hash(QCryptographicHash::Sha256);
    for (const NeuronSWC& node : tree.listNeuron) {
        const float values[] = {node.x, node.y, node.z, node.r, static_cast<float>(node.type)};
        hash.addData(QByteArray(reinterpret_cast<const char*>(values), sizeof values));
    }
    return hash.result();
}

struct Drawn {
    QByteArray digest;  // of all that was traced in the window then
    bool alone;         // whether that is the plugin's tree and nothing else
    QString job;
    Drawing drawing;
};

// The trees that this plugin drew, by window.
std::map<v3dhandle, Drawn>& drawn() {
    static std::map<v3dhandle, Drawn> trees;
    return trees;
}

// The windows of enhanced volumes, and those of their images.
std::map<v3dhandle, v3dhandle>& masks() {
    static std::map<v3dhandle, v3dhandle> windows;
    return windows;
}

}  // namespace

void showMask(V3DPluginCallback2& callback, v3dhandle image, Image4DSimple& mask,
              const QString& name) {
    const v3dhandle window = callback.newImageWindow(name);
    callback.setImage(window, &mask);
    callback.setImageName(window, name);
    callback.updateImageWindow(window);
    masks()[window] = image;
}

v3dhandle imageWindow(V3DPluginCallback2& callback) {
    const v3dhandle window = callback.currentImageWindow();
    const auto found = masks().find(window);
    const bool isMask =
        found != masks().end() && callback.getImageWindowList().contains(found->second);
    return isMask ? found->second : window;
}

void bringToFront(const QString& name) {
    constexpr int kLook = 100;  // milliseconds
    QTimer::singleShot(kLook, qApp, [name] {
        if (QApplication::activeModalWidget()) return bringToFront(name);
        for (QWidget* top : QApplication::topLevelWidgets())
            for (QMdiArea* area : top->findChildren<QMdiArea*>())
                for (QMdiSubWindow* frame : area->subWindowList())
                    if (frame->windowTitle().contains(name)) area->setActiveSubWindow(frame);
    });
}

int tracedNodes(V3DPluginCallback2& callback, v3dhandle window) {
    const NeuronTree tree = callback.getSWC(window);
    const auto own = drawn().find(window);
    if (own != drawn().end() && own->second.alone && own->second.digest == digestOf(tree)) return 0;
    return static_cast<int>(tree.listNeuron.size());
}

void drawTree(V3DPluginCallback2& callback, v3dhandle window, const NeuronTree& tree,
              const NeuronTree& kept, const QString& job, Drawing drawing) {
    const bool alone = kept.listNeuron.isEmpty();
    NeuronTree all = alone ? tree : joinedTrees(kept, tree);
    callback.setSWC(window, all);
    const NeuronTree given = callback.getSWC(window);
    std::set<Place> own;
    for (const NeuronSWC& node : tree.listNeuron) own.insert(placeOf(node));
    drawing.types.clear();
    drawing.others.clear();
    for (const NeuronSWC& node : given.listNeuron) {
        if (own.count(placeOf(node)))
            drawing.types[placeOf(node)].insert(node.type);
        else
            drawing.others.insert(placeOf(node));
    }
    drawn()[window] = {digestOf(given), alone, job, std::move(drawing)};
    callback.open3DWindow(window);
    callback.pushObjectIn3DWindow(window);
}

Drawing drawingOf(v3dhandle window, const Origin& origin) {
    const auto own = drawn().find(window);
    if (own != drawn().end() && own->second.job == origin.job) return own->second.drawing;
    Drawing drawing;
    drawing.step = origin.step;
    drawing.channel = origin.channel;
    return drawing;
}

void saveText(const QString& file, const std::string& text) {
    QSaveFile out(file);
    if (!out.open(QIODevice::WriteOnly) ||
        out.write(text.data(), static_cast<qint64>(text.size())) !=
            static_cast<qint64>(text.size()) ||
        !out.commit())
        fail(file, out.errorString());
}

void saveTree(const QString& file, const dineuro::Result& result) {
    const bool graded = file.endsWith(".eswc", Qt::CaseInsensitive);
    saveText(file,
             graded ? eswcText(result.swc, gradesOf(dineuro::parseSwc(result.swc), result.report))
                    : result.swc);
}

void saveImage(V3DPluginCallback2& callback, Image4DSimple& image, const QString& file) {
    // Vaa3D chooses the format by the suffix, so the temporary name ends with it.
    const QFileInfo place(file);
    const QString part = place.dir().filePath(".part_" + place.fileName());
    QByteArray name = QFile::encodeName(part);
    const bool isSaved = callback.saveImage(&image, name.data());
    if (isSaved && QFileInfo::exists(part)) {
        QFile::remove(file);
        if (QFile::rename(part, file)) return;
    }
    QFile::remove(part);
    fail(file, place.dir().exists() ? "Vaa3D could not save it" : "the folder does not exist");
}

QString doubtsFileOf(const QString& swcFile) {
    const QFileInfo place(swcFile);
    return place.dir().filePath(place.completeBaseName() + "_doubts.marker");
}

QString summary(const dineuro::Result& result) {
    const auto& report = result.report;
    const auto number = [&](const char* name) {
        const auto found = report.find(name);
        return found != report.end() && found->is_number() ? found->get<double>() : 0.0;
    };
    QString text = QString("%1 nodes, %2 tips, length %3 voxels; %4 % of the length is certain.")
                       .arg(number("nodes"))
                       .arg(number("tips"))
                       .arg(number("length"), 0, 'f', 0)
                       .arg(100 * number("certain"), 0, 'f', 0);
    if (report.contains("warnings") && report["warnings"].is_array())
        for (const auto& warning : report["warnings"])
            if (warning.is_string())
                text += "\nWarning: " + QString::fromStdString(warning.get<std::string>()) + ".";
    return text;
}
