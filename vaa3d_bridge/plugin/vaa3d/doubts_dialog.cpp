#include "doubts_dialog.h"

#include <algorithm>

#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QListWidget>
#include <QPushButton>
#include <QVBoxLayout>

#include "client/errors.h"
#include "messages.h"

namespace {

constexpr double kAround = 40;  // voxels that the 3D window shows around a place

}  // namespace

DoubtsDialog::DoubtsDialog(V3DPluginCallback2& callback, v3dhandle window,
                           const QString& doubtsFile, int step)
    : callback_(callback),
      window_(window),
      file_(decisionsFileOf(doubtsFile)),
      step_(step),
      doubts_(readDoubts(doubtsFile)),
      list_(new QListWidget),
      state_(new QLabel) {
    readDecisions(doubts_, file_);
    setObjectName("dineuro_doubts");
    setWindowTitle("DINeuro: places to proofread, " + QFileInfo(doubtsFile).fileName());
    setAttribute(Qt::WA_DeleteOnClose);
    setWindowFlag(Qt::WindowStaysOnTopHint);
    setMinimumWidth(600);
    list_->setObjectName("places");
    state_->setObjectName("state");
    state_->setWordWrap(true);
    for (int row = 0; row < doubts_.size(); ++row) {
        list_->addItem("");
        showRow(row);
    }
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(list_);
    layout->addWidget(state_);
    auto* row = new QHBoxLayout;
    const auto button = [&](const char* name, const QString& text, auto work) {
        auto* made = new QPushButton(text);
        made->setObjectName(name);
        made->setAutoDefault(false);
        connect(made, &QPushButton::clicked, this, work);
        row->addWidget(made);
    };
    button("previous", "Previous", [this] { list_->setCurrentRow(list_->currentRow() - 1); });
    button("next", "Next", [this] { list_->setCurrentRow(list_->currentRow() + 1); });
    button("accept", "The tree is right", [this] { decide("accepted"); });
    button("reject", "The tree is wrong", [this] { decide("rejected"); });
    button("landmarks", "Show as landmarks", [this] { addLandmarks(); });
    layout->addLayout(row);
    connect(list_, &QListWidget::currentRowChanged, this, &DoubtsDialog::go);
    list_->setCurrentRow(0);
}

DoubtsDialog::~DoubtsDialog() {
    if (isOpen()) cut(nullptr);
}

bool DoubtsDialog::isOpen() const { return callback_.getImageWindowList().contains(window_); }

void DoubtsDialog::showRow(int row) {
    const Doubt& doubt = doubts_[row];
    const QString sign = doubt.decision == "accepted"   ? "right: "
                         : doubt.decision == "rejected" ? "wrong: "
                                                        : "";
    list_->item(row)->setText(sign + doubt.name + ": " + doubt.says);
    const auto decided = std::count_if(doubts_.begin(), doubts_.end(),
                                       [](const Doubt& each) { return !each.decision.isEmpty(); });
    state_->setText(QString("%1 of %2 places are decided.").arg(decided).arg(doubts_.size()));
}

void DoubtsDialog::go(int row) {
    if (row < 0) return;
    if (!isOpen()) {
        state_->setText("The image is closed.");
        return;
    }
    const Doubt& doubt = doubts_[row];
    const auto whole = [](double value) { return static_cast<V3DLONG>(value + 0.5); };
    if (TriviewControl* planes = callback_.getTriviewControl(window_))
        planes->setFocusLocation(whole(doubt.x), whole(doubt.y), whole((doubt.z - 1) * step_ + 1));
    callback_.updateImageWindow(window_);
    cut(&doubt);
}

// Cut the 3D window, if it is open, to the surroundings of a place, or show all of it.
void DoubtsDialog::cut(const Doubt* around) {
    View3DControl* view = callback_.getView3DControl(window_);
    const Image4DSimple* image = callback_.getImage(window_);
    if (!view || !image) return;
    const auto bound = [&](double place, double away, V3DLONG size, int shown) {
        if (!around) return away < 0 ? 0 : shown - 1;
        const double scale = size > 0 ? static_cast<double>(shown) / static_cast<double>(size) : 1;
        return std::clamp(static_cast<int>((place + away) * scale), 0, shown - 1);
    };
    const Doubt at = around ? *around : Doubt();
    const double z = (at.z - 1) * step_;
    view->setXCut0(bound(at.x - 1, -kAround, image->getXDim(), view->dataDim1()));
    view->setXCut1(bound(at.x - 1, kAround, image->getXDim(), view->dataDim1()));
    view->setYCut0(bound(at.y - 1, -kAround, image->getYDim(), view->dataDim2()));
    view->setYCut1(bound(at.y - 1, kAround, image->getYDim(), view->dataDim2()));
    view->setZCut0(bound(z, -kAround, image->getZDim(), view->dataDim3()));
    view->setZCut1(bound(z, kAround, image->getZDim(), view->dataDim3()));
}

void DoubtsDialog::decide(const QString& decision) {
    const int row = list_->currentRow();
    if (row < 0) return;
    const QString before = doubts_[row].decision;
    doubts_[row].decision = decision;
    try {
        saveDecisions(doubts_, file_);
    } catch (const dineuro::Error& error) {
        doubts_[row].decision = before;
        state_->setText(sentence(error));
        return;
    }
    showRow(row);
    list_->setCurrentRow(std::min(row + 1, static_cast<int>(doubts_.size()) - 1));
}

void DoubtsDialog::addLandmarks() {
    if (!isOpen()) return;
    LandmarkList landmarks = callback_.getLandmark(window_);
    for (const Doubt& doubt : doubts_) {
        LocationSimple landmark;
        landmark.x = static_cast<float>(doubt.x);
        landmark.y = static_cast<float>(doubt.y);
        landmark.z = static_cast<float>((doubt.z - 1) * step_ + 1);
        landmark.name = doubt.name.toStdString();
        landmark.comments = doubt.says.toStdString();
        landmarks << landmark;
    }
    callback_.setLandmark(window_, landmarks);
    callback_.updateImageWindow(window_);
}
