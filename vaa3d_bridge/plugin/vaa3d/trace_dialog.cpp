#include "trace_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QFormLayout>
#include <QGroupBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QMessageBox>
#include <QPushButton>
#include <QSpinBox>
#include <QVBoxLayout>

#include "outcome.h"
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
    send_ = comboBox("send", {{"window", "the image in the window"}}, "window");
    if (facts.hasFile) send_->insertItem(0, "the file " + facts.name, "file");
    send_->setCurrentIndex(send_->findData(facts.sendsFile ? "file" : "window"));
    channel_ = spinBox<QSpinBox>("channel", 1, 1, 1, "The channel of the neuron, counted from 1");
    connect(send_, qOverload<int>(&QComboBox::currentIndexChanged), this,
            [this, facts] { showSource(facts); });
    showSource(facts);
    channel_->setValue(choices.channel);
    region_ = comboBox("region", {{"all", "whole image"}}, "all");
    if (facts.hasCutBox) region_->addItem("3D cut box", "box");
    region_->setToolTip("The cut box is available while the image's 3D window is open");
    root_ = comboBox("root", {{"auto", "detected automatically"}}, "auto");
    if (!facts.landmark.isEmpty()) {
        root_->addItem("landmark at " + facts.landmark, "landmark");
        if (choices.landmark) root_->setCurrentIndex(1);
    }
    root_->setToolTip("The tree starts at a landmark on the soma");
    auto* box = new QGroupBox("Image");
    auto* form = new QFormLayout(box);
    form->addRow("Send", send_);
    if (facts.hasFile) {
        auto* reason = new QLabel(facts.fileReason);
        reason->setObjectName("reason");
        reason->setWordWrap(true);
        form->addRow(reason);
    }
    form->addRow("Channel", channel_);
    form->addRow("Region", region_);
    form->addRow("Root", root_);
    return box;
}

QWidget* TraceDialog::resultBox(const Choices& choices, const ImageFacts& facts) {
    mask_ = checkBox("mask", "Show the enhanced volume in a new window", choices.showMask);
    const bool traced = facts.tracedNodes > 0;
    overlay_ = comboBox(
        "overlay",
        {{"add", traced
                     ? QString("add it to the %1 traced nodes of the image").arg(facts.tracedNodes)
                     : "draw it over the image (3D window)"},
         {"no", "do not draw it"}},
        choices.overlay);
    if (traced) overlay_->insertItem(1, "replace the traced nodes by it", "replace");
    colour_ =
        comboBox("colour", {{"type", "coloured by type"}, {"confidence", "coloured by confidence"}},
                 choices.confidence ? "confidence" : "type");
    colour_->setToolTip("By confidence: green is sure, yellow is likely, red is in doubt");
    save_ = checkBox("save", "Save the tree as", !facts.swcFile.isEmpty());
    swcFile_ = new QLineEdit(facts.swcFile);
    swcFile_->setObjectName("swc");
    swcFile_->setMinimumWidth(220);
    swcFile_->setToolTip("A name with .eswc saves the confidence of each segment, too");
    doubts_ = checkBox("doubts", "... and the places to proofread (.marker)", choices.doubts);
    auto* browse = new QPushButton("Browse...");
    browse->setAutoDefault(false);
    connect(browse, &QPushButton::clicked, this, [this] {
        const QString file =
            QFileDialog::getSaveFileName(this, "Save the tree as", swcFile_->text(),
                                         "SWC (*.swc);;ESWC with confidences (*.eswc)");
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
    auto* tree = new QHBoxLayout;
    tree->addWidget(new QLabel("Tree:"));
    tree->addWidget(overlay_, 1);
    tree->addWidget(colour_);
    layout->addLayout(tree);
    layout->addWidget(save_);
    auto* row = new QHBoxLayout;
    row->addWidget(swcFile_, 1);
    row->addWidget(browse);
    layout->addLayout(row);
    layout->addWidget(doubts_);
    return box;
}

// The channels and the voxel size of what is sent.
void TraceDialog::showSource(const ImageFacts& facts) {
    const bool isFile = send_->currentData() == "file";
    const int count = isFile ? facts.fileChannels : facts.channels;
    channel_->setMaximum(count);
    channel_->setSuffix(QString(" of %1").arg(count));
    for (QDoubleSpinBox* box : spacing_)
        if (box) box->setSpecialValueText(isFile ? "the file's" : "unknown");
}

QWidget* TraceDialog::advancedBox(const Choices& choices, const ImageFacts& facts) {
    enhancer_ = comboBox("enhancer",
                         {{"auto", "network, or classical if that is better"},
                          {"dineuro", "network"},
                          {"classical", "classical, without a network"}},
                         choices.enhancer);
    model_ = new QLineEdit(choices.model);
    model_->setObjectName("model");
    model_->setPlaceholderText("the server's default");
    threshold_ =
        spinBox<QSpinBox>("threshold", 1, 255, choices.threshold,
                          "The least value of a neurite; a lower one traces more, and more errors");
    minLength_ = spinBox<QDoubleSpinBox>("min_length", 0.0, 1e6, choices.minLength,
                                         "Shorter branches are removed");
    gap_ = spinBox<QDoubleSpinBox>("gap", 0.0, 1e6, choices.gap,
                                   "The longest joined gap; above 40 only between large parts");
    minConfidence_ = spinBox<QDoubleSpinBox>("min_confidence", 0.0, 1.0, choices.minConfidence,
                                             "Less certain branches are removed; 0 keeps all");
    minConfidence_->setSingleStep(0.05);
    passes_ = spinBox<QSpinBox>("passes", 1, 2, choices.passes,
                                "2: uncertain stacks are enhanced again where that helps");
    passes_->setEnabled(enhance_);
    minLength_->setSuffix(" voxels");
    gap_->setSuffix(" voxels");
    trees_ = comboBox(
        "trees",
        {{"auto", "as the image shows"}, {"one", "one neuron"}, {"all", "all neurons and pieces"}},
        choices.trees);
    contrast_ = comboBox(
        "contrast",
        {{"auto", "as the image shows"}, {"bright", "bright on dark"}, {"dark", "dark on bright"}},
        choices.contrast);
    spines_ = comboBox("spines", {{"drop", "leave out"}, {"keep", "keep, as type 7"}},
                       choices.keepSpines ? "keep" : "drop");
    auto* size = new QHBoxLayout;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        spacing_[axis] = spinBox<QDoubleSpinBox>(
            axis == 0   ? "spacing_x"
            : axis == 1 ? "spacing_y"
                        : "spacing_z",
            0.0, 1e6, facts.spacing.empty() ? 0.0 : facts.spacing[axis], "x, y, z in micrometres");
        spacing_[axis]->setDecimals(4);
        size->addWidget(spacing_[axis]);
    }
    showSource(facts);
    auto* box = new QGroupBox("Advanced");
    auto* left = new QFormLayout;
    left->addRow("Enhance by", enhancer_);
    left->addRow("Network", model_);
    left->addRow("Voxel size (µm)", size);
    left->addRow("Neurites", contrast_);
    contrast_->setEnabled(enhance_);
    enhancer_->setEnabled(enhance_);
    model_->setEnabled(enhance_);
    auto* right = new QFormLayout;
    right->addRow("Threshold", threshold_);
    right->addRow("Shortest branch", minLength_);
    right->addRow("Longest gap", gap_);
    right->addRow("Least confidence", minConfidence_);
    right->addRow("Passes", passes_);
    right->addRow("Trees", trees_);
    right->addRow("Spines", spines_);
    auto* row = new QHBoxLayout(box);
    row->addLayout(left);
    row->addLayout(right);
    return box;
}

void TraceDialog::accept() {
    const Choices chosen = choices();
    QStringList existing;
    for (const QString& file :
         {chosen.swcFile, chosen.doubts ? doubtsFileOf(chosen.swcFile) : QString()})
        if (!chosen.swcFile.isEmpty() && QFileInfo::exists(file)) existing << file;
    if (!existing.isEmpty() &&
        QMessageBox::question(this, "DINeuro", existing.join("\n") + "\n\nReplace it?") !=
            QMessageBox::Yes)
        return;
    QDialog::accept();
}

Choices TraceDialog::choices() const {
    Choices choices = start_;
    server_->store(choices);
    choices.sendFile = send_->currentData() == "file";
    choices.channel = channel_->value();
    choices.cutBox = region_->currentData() == "box";
    // Without a landmark the choice is kept for the next image.
    if (root_->count() > 1) choices.landmark = root_->currentData() == "landmark";
    choices.showMask = mask_->isChecked();
    choices.overlay = overlay_->currentData().toString();
    choices.confidence = colour_->currentData() == "confidence";
    choices.swcFile = save_->isChecked() ? swcFile_->text().trimmed() : QString();
    choices.doubts = doubts_->isChecked();
    choices.contrast = contrast_->currentData().toString();
    choices.enhancer = enhancer_->currentData().toString();
    choices.model = model_->text().trimmed();
    choices.threshold = threshold_->value();
    choices.minLength = minLength_->value();
    choices.gap = gap_->value();
    choices.minConfidence = minConfidence_->value();
    choices.passes = passes_->value();
    choices.trees = trees_->currentData().toString();
    choices.keepSpines = spines_->currentData() == "keep";
    for (int axis = 0; axis < 3; ++axis) choices.spacing[axis] = spacing_[axis]->value();
    if (!(choices.spacing[0] > 0 && choices.spacing[1] > 0 && choices.spacing[2] > 0))
        std::fill(choices.spacing, choices.spacing + 3, 0.0);
    return choices;
}

ServerDialog::ServerDialog(const Choices& choices, QWidget* parent)
    : QDialog(parent),
      start_(choices),
      server_(new ServerBox(choices)),
      minutes_(
          spinBox<QDoubleSpinBox>("minutes", 0.0, 1e5, choices.minutes, "The time limit of a job")),
      reuse_(checkBox("reuse", "Use a stored result of the server", choices.reuse)) {
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
    Choices choices = start_;
    server_->store(choices);
    choices.minutes = minutes_->value();
    choices.reuse = reuse_->isChecked();
    return choices;
}
