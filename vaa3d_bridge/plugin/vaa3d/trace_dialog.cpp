#include "trace_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFormLayout>
#include <QGroupBox>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QVBoxLayout>

#include "server_box.h"

namespace {

template <class Spin, class Number>
Spin* spinBox(const char* name, Number low, Number high, Number value, const QString& tip) {
    auto* box = new Spin;
    box->setObjectName(name);
    box->setRange(low, high);
    box->setValue(value);
    box->setToolTip(tip);
    return box;
}

QCheckBox* checkBox(const char* name, const QString& text, bool value) {
    auto* box = new QCheckBox(text);
    box->setObjectName(name);
    box->setChecked(value);
    return box;
}

QComboBox* comboBox(const char* name, const QList<QPair<QString, QString>>& entries,
                    const QString& value) {
    auto* box = new QComboBox;
    box->setObjectName(name);
    for (const auto& entry : entries) box->addItem(entry.second, entry.first);
    box->setCurrentIndex(std::max(0, box->findData(value)));
    return box;
}

QDialogButtonBox* buttons(QDialog* dialog, const QString& ok) {
    auto* box = new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel);
    box->button(QDialogButtonBox::Ok)->setText(ok);
    QObject::connect(box, &QDialogButtonBox::accepted, dialog, &QDialog::accept);
    QObject::connect(box, &QDialogButtonBox::rejected, dialog, &QDialog::reject);
    return box;
}

}  // namespace

TraceDialog::TraceDialog(const Choices& choices, const ImageFacts& facts, bool enhance,
                         QWidget* parent)
    : QDialog(parent), start_(choices), enhance_(enhance), server_(new ServerBox(choices)) {
    setObjectName("dineuro_trace");
    setWindowTitle((enhance ? "DINeuro: enhance & trace " : "DINeuro: trace ") + facts.name);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(server_);
    auto* row = new QHBoxLayout;
    row->addWidget(imageBox(choices, facts));
    row->addWidget(resultBox(choices, facts));
    layout->addLayout(row);
    layout->addWidget(advancedBox(choices, facts));
    layout->addWidget(buttons(this, enhance ? "Enhance && trace" : "Trace"));
}

QWidget* TraceDialog::imageBox(const Choices& choices, const ImageFacts& facts) {
    channel_ =
        spinBox<QSpinBox>("channel", 1, facts.channels, std::min(choices.channel, facts.channels),
                          "The channel with the neuron, counted from 1");
    channel_->setSuffix(QString(" of %1").arg(facts.channels));
    region_ = comboBox("region", {{"all", "whole image"}}, "all");
    if (facts.hasCutBox) region_->addItem("3D cut box", "box");
    region_->setToolTip("The cut box is there when the image's 3D window is open");
    root_ = comboBox("root", {{"auto", "found by itself"}}, "auto");
    if (facts.hasLandmark) {
        root_->addItem("first landmark", "landmark");
        if (choices.landmark) root_->setCurrentIndex(1);
    }
    root_->setToolTip("A landmark on the soma makes the tree start there");
    auto* box = new QGroupBox("Image");
    auto* form = new QFormLayout(box);
    form->addRow("Channel", channel_);
    form->addRow("Region", region_);
    form->addRow("Root", root_);
    return box;
}

QWidget* TraceDialog::resultBox(const Choices& choices, const ImageFacts& facts) {
    mask_ = checkBox("mask", "Show the enhanced volume in a new window", choices.showMask);
    overlay_ = checkBox("overlay", "Draw the tree over the image (3D window)", choices.overlay);
    save_ = checkBox("save", "Save the tree as", !facts.swcFile.isEmpty());
    swcFile_ = new QLineEdit(facts.swcFile);
    swcFile_->setObjectName("swc");
    swcFile_->setMinimumWidth(220);
    doubts_ = checkBox("doubts", "... and the places to look at first (.marker)", choices.doubts);
    auto* browse = new QPushButton("Browse...");
    browse->setAutoDefault(false);
    connect(browse, &QPushButton::clicked, this, [this] {
        const QString file =
            QFileDialog::getSaveFileName(this, "Save the tree as", swcFile_->text(), "SWC (*.swc)");
        if (!file.isEmpty()) swcFile_->setText(file);
    });
    const auto enable = [this, browse](bool on) {
        swcFile_->setEnabled(on);
        doubts_->setEnabled(on);
        browse->setEnabled(on);
    };
    connect(save_, &QCheckBox::toggled, this, enable);
    enable(save_->isChecked());
    auto* box = new QGroupBox("Results");
    auto* layout = new QVBoxLayout(box);
    layout->addWidget(mask_);
    layout->addWidget(overlay_);
    layout->addWidget(save_);
    auto* row = new QHBoxLayout;
    row->addWidget(swcFile_, 1);
    row->addWidget(browse);
    layout->addLayout(row);
    layout->addWidget(doubts_);
    return box;
}

QWidget* TraceDialog::advancedBox(const Choices& choices, const ImageFacts& facts) {
    enhancer_ = comboBox("enhancer",
                         {{"auto", "network, or classical where that is better"},
                          {"dineuro", "network"},
                          {"classical", "classical, without a network"}},
                         choices.enhancer);
    model_ = new QLineEdit(choices.model);
    model_->setObjectName("model");
    model_->setPlaceholderText("the server's own choice");
    threshold_ =
        spinBox<QSpinBox>("threshold", 1, 255, choices.threshold,
                          "Of the enhanced volume: lower finds more, and more that is none");
    minLength_ = spinBox<QDoubleSpinBox>("min_length", 0.0, 1e6, choices.minLength,
                                         "Shorter branches are left out");
    gap_ = spinBox<QDoubleSpinBox>("gap", 0.0, 1e6, choices.gap,
                                   "The longest gap that is joined; over 40 large parts alone");
    minConfidence_ =
        spinBox<QDoubleSpinBox>("min_confidence", 0.0, 1.0, choices.minConfidence,
                                "Branches less likely right are taken off; 0 keeps all");
    minConfidence_->setSingleStep(0.05);
    passes_ = spinBox<QSpinBox>("passes", 1, 2, choices.passes,
                                "2: what is uncertain is judged again where that helps");
    passes_->setEnabled(enhance_);
    minLength_->setSuffix(" voxels");
    gap_->setSuffix(" voxels");
    trees_ = comboBox("trees", {{"one", "one neuron"}, {"all", "all that is there"}},
                      choices.allTrees ? "all" : "one");
    auto* size = new QHBoxLayout;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        spacing_[axis] = spinBox<QDoubleSpinBox>(
            axis == 0   ? "spacing_x"
            : axis == 1 ? "spacing_y"
                        : "spacing_z",
            0.0, 1e6, facts.spacing.empty() ? 0.0 : facts.spacing[axis], "x, y, z in micrometres");
        spacing_[axis]->setDecimals(4);
        spacing_[axis]->setSpecialValueText("not known");
        size->addWidget(spacing_[axis]);
    }
    auto* box = new QGroupBox("Advanced");
    auto* left = new QFormLayout;
    left->addRow("Enhance by", enhancer_);
    left->addRow("Network", model_);
    left->addRow("Voxel size (µm)", size);
    enhancer_->setEnabled(enhance_);
    model_->setEnabled(enhance_);
    auto* right = new QFormLayout;
    right->addRow("Threshold", threshold_);
    right->addRow("Shortest branch", minLength_);
    right->addRow("Longest gap", gap_);
    right->addRow("Least confidence", minConfidence_);
    right->addRow("Passes", passes_);
    right->addRow("Trees", trees_);
    auto* row = new QHBoxLayout(box);
    row->addLayout(left);
    row->addLayout(right);
    return box;
}

Choices TraceDialog::choices() const {
    Choices made = start_;
    server_->store(made);
    made.channel = channel_->value();
    made.cutBox = region_->currentData() == "box";
    // Without a landmark the wish for it is kept for another image.
    if (root_->count() > 1) made.landmark = root_->currentData() == "landmark";
    made.showMask = mask_->isChecked();
    made.overlay = overlay_->isChecked();
    made.swcFile = save_->isChecked() ? swcFile_->text().trimmed() : QString();
    made.doubts = doubts_->isChecked();
    made.enhancer = enhancer_->currentData().toString();
    made.model = model_->text().trimmed();
    made.threshold = threshold_->value();
    made.minLength = minLength_->value();
    made.gap = gap_->value();
    made.minConfidence = minConfidence_->value();
    made.passes = passes_->value();
    made.allTrees = trees_->currentData() == "all";
    for (int axis = 0; axis < 3; ++axis) made.spacing[axis] = spacing_[axis]->value();
    if (!(made.spacing[0] > 0 && made.spacing[1] > 0 && made.spacing[2] > 0))
        std::fill(made.spacing, made.spacing + 3, 0.0);
    return made;
}

ServerDialog::ServerDialog(const Choices& choices, QWidget* parent)
    : QDialog(parent),
      start_(choices),
      server_(new ServerBox(choices)),
      minutes_(spinBox<QDoubleSpinBox>("minutes", 0.0, 1e5, choices.minutes,
                                       "After so long a job is given up")),
      reuse_(checkBox("reuse", "Take an answer that the server has already", choices.reuse)) {
    setObjectName("dineuro_server");
    setWindowTitle("DINeuro: server settings");
    setMinimumWidth(480);
    minutes_->setSpecialValueText("never");
    minutes_->setSuffix(" minutes");
    auto* form = new QFormLayout;
    form->addRow("Give up after", minutes_);
    form->addRow(reuse_);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(server_);
    layout->addLayout(form);
    layout->addWidget(buttons(this, "Save"));
}

Choices ServerDialog::choices() const {
    Choices made = start_;
    server_->store(made);
    made.minutes = minutes_->value();
    made.reuse = reuse_->isChecked();
    return made;
}
