#include <array>
#include <cstring>
#include <map>

#include <QApplication>
#include <QDialog>
#include <QEvent>
#include <QFile>
#include <QFileInfo>

#include "tiff.h"
#include "vaa3d.h"

namespace {

const QByteArray kMagic = "raw_image_stack_by_hpeng";

Window& at(v3dhandle window) { return *static_cast<Window*>(window); }

template <class Value>
Value take(const QByteArray& bytes, int offset) {
    Value value;
    std::memcpy(&value, bytes.constData() + offset, sizeof value);
    return value;
}

// The rows of the segments, which run from a tip or a fork up to the next fork or root.
std::vector<std::vector<int>> segmentsOf(const NeuronTree& tree) {
    std::map<V3DLONG, int> index;
    std::map<V3DLONG, int> neighbours;
    for (int i = 0; i < tree.listNeuron.size(); ++i) {
        index[tree.listNeuron[i].n] = i;
        if (tree.listNeuron[i].pn < 0) continue;
        ++neighbours[tree.listNeuron[i].n];
        ++neighbours[tree.listNeuron[i].pn];
    }
    std::vector<std::vector<int>> segments;
    for (int end = 0; end < tree.listNeuron.size(); ++end) {
        if (neighbours[tree.listNeuron[end].n] == 2 || tree.listNeuron[end].pn < 0) continue;
        std::vector<int> segment{end};
        do segment.push_back(index.at(tree.listNeuron[segment.back()].pn));
        while (neighbours[tree.listNeuron[segment.back()].n] == 2 &&
               tree.listNeuron[segment.back()].pn >= 0);
        segments.push_back(segment);
    }
    return segments;
}

int commonType(const NeuronTree& tree, const std::vector<int>& segment) {
    std::map<int, int> votes;
    for (int i : segment) ++votes[tree.listNeuron[i].type];
    int most = 0;
    for (const auto& vote : votes)
        if (!most || vote.second > votes[most]) most = vote.first;
    return most;
}

std::unique_ptr<Image4DSimple> readRaw(const QString& file) {
    QFile in(file);
    if (!in.open(QIODevice::ReadOnly)) return nullptr;
    const QByteArray head = in.read(43);
    if (head.size() < 43 || !head.startsWith(kMagic) || head[24] != 'L') return nullptr;
    const auto unit = take<qint16>(head, 25);
    const ImagePixelType type = unit == 1 ? V3D_UINT8 : unit == 2 ? V3D_UINT16 : V3D_FLOAT32;
    V3DLONG size[4];
    qint64 total = unit;
    for (int i = 0; i < 4; ++i) total *= size[i] = take<qint32>(head, 27 + 4 * i);
    auto* samples = new unsigned char[static_cast<std::size_t>(total)];
    auto image = std::make_unique<Image4DSimple>();
    image->setData(samples, size[0], size[1], size[2], size[3], type);
    return in.read(reinterpret_cast<char*>(samples), total) == total ? std::move(image) : nullptr;
}

}  // namespace

std::unique_ptr<Image4DSimple> readImage(const QString& file) {
    const QString suffix = QFileInfo(file).suffix().toLower();
    return suffix == "tif" || suffix == "tiff" ? readTiff(file) : readRaw(file);
}

bool writeRaw(Image4DSimple& image, const QString& file) {
    QFile out(file);
    if (!out.open(QIODevice::WriteOnly)) return false;
    QByteArray head = kMagic + 'L';
    const auto unit = static_cast<qint16>(image.getUnitBytes());
    head.append(reinterpret_cast<const char*>(&unit), 2);
    for (const V3DLONG n : {image.getXDim(), image.getYDim(), image.getZDim(), image.getCDim()}) {
        const auto size = static_cast<qint32>(n);
        head.append(reinterpret_cast<const char*>(&size), 4);
    }
    out.write(head);
    return out.write(reinterpret_cast<const char*>(image.getRawData()), image.getTotalBytes()) ==
           image.getTotalBytes();
}

Vaa3D::Vaa3D() : area_(new QMdiArea) {
    main_.setCentralWidget(area_);
    main_.show();
    qApp->installEventFilter(this);
}

bool Vaa3D::eventFilter(QObject* object, QEvent* event) {
    if (event->type() == QEvent::Hide && qobject_cast<QDialog*>(object) && !windows.empty())
        activate(*windows.front());
    return false;
}

Window* Vaa3D::front() {
    for (const auto& window : windows)
        if (window->frame == area_->activeSubWindow()) return window.get();
    return nullptr;
}

v3dhandleList Vaa3D::getImageWindowList() const {
    v3dhandleList list;
    for (QMdiSubWindow* frame : area_->subWindowList(QMdiArea::ActivationHistoryOrder))
        for (const auto& window : windows)
            if (window->frame == frame) list << window.get();
    return list;
}

v3dhandle Vaa3D::newImageWindow(QString name) {
    windows.push_back(std::make_unique<Window>());
    Window& made = *windows.back();
    made.frame = area_->addSubWindow(new QWidget);
    made.frame->setWindowTitle(name);
    made.frame->show();
    return &made;
}

void Vaa3D::updateImageWindow(v3dhandle window, bool) { ++at(window).updates; }
QString Vaa3D::getImageName(v3dhandle window) const { return at(window).frame->windowTitle(); }
void Vaa3D::setImageName(v3dhandle window, QString name) { at(window).frame->setWindowTitle(name); }
Image4DSimple* Vaa3D::getImage(v3dhandle window) { return &at(window).image; }

bool Vaa3D::setImage(v3dhandle window, Image4DSimple* image) {
    at(window).image.setData(image->getRawData(), image->getXDim(), image->getYDim(),
                             image->getZDim(), image->getCDim(), image->getDatatype());
    at(window).image.setRezX(image->getRezX());
    at(window).image.setRezY(image->getRezY());
    at(window).image.setRezZ(image->getRezZ());
    image->setRawDataPointerToNull();  // the samples are the window's now
    return true;
}

LandmarkList Vaa3D::getLandmark(v3dhandle window) { return at(window).landmarks; }

bool Vaa3D::setLandmark(v3dhandle window, LandmarkList& landmarks) {
    at(window).landmarks = landmarks;
    return true;
}

NeuronTree Vaa3D::getSWC(v3dhandle window) {
    NeuronTree tree;
    for (const auto& segment : at(window).segments)
        for (int i = 0; i < segment.size(); ++i) {
            NeuronSWC node = segment[i];
            node.n = tree.listNeuron.size() + 1;
            node.pn = i == 0 ? -1 : node.n - 1;
            tree.hashNeuron.insert(static_cast<int>(node.n),
                                   static_cast<int>(tree.listNeuron.size()));
            tree.listNeuron << node;
        }
    return tree;
}

bool Vaa3D::setSWC(v3dhandle window, NeuronTree& tree) {
    NeuronTree& made = at(window).tree;
    at(window).segments.clear();
    made = tree;
    made.editable = true;  // whatever was set
    for (const auto& rows : segmentsOf(tree)) {
        QList<NeuronSWC> segment;
        // The fork at the upper end is drawn by each of its segments; here the last one names it.
        for (int row : rows) {
            made.listNeuron[row].type = commonType(tree, rows);
            segment.prepend(made.listNeuron[row]);
        }
        at(window).segments << segment;
    }
    return true;
}

Image4DSimple* Vaa3D::loadImage(char* file) { return readImage(QFile::decodeName(file)).release(); }

bool Vaa3D::saveImage(Image4DSimple* image, char* file) {
    return writeRaw(*image, QFile::decodeName(file));
}

void Vaa3D::open3DWindow(v3dhandle window) {
    if (at(window).view) return;
    auto& image = at(window).image;
    auto view = std::make_unique<View>();
    const int size[] = {static_cast<int>(image.getXDim()), static_cast<int>(image.getYDim()),
                        static_cast<int>(image.getZDim())};
    for (std::size_t axis = 0; axis < 3; ++axis) {
        view->shown[axis] = size[axis];
        view->cut[2 * axis + 1] = size[axis] - 1;
    }
    at(window).view = std::move(view);
}

void Vaa3D::pushObjectIn3DWindow(v3dhandle window) { ++at(window).pushes; }
View3DControl* Vaa3D::getView3DControl(v3dhandle window) { return at(window).view.get(); }
TriviewControl* Vaa3D::getTriviewControl(v3dhandle window) {
    return window ? &at(window).planes : nullptr;
}
