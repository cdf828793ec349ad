// The dialogs of a trace and of the server's settings.
#pragma once

#include <QDialog>

#include "choices.h"

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QLineEdit;
class QSpinBox;
class ServerBox;

// The properties of the image that the dialog needs.
struct ImageFacts {
    QString name;
    int channels = 1;
    bool hasFile = false;    // whether the server can read the image's file
    bool sendsFile = false;  // whether that is better than the image in the window
    QString fileReason;      // why
    int fileChannels = 1;
    QString landmark;     // the place of the landmark that may be the soma; empty without one
    int tracedNodes = 0;  // of the neuron that the image has already
    bool hasCutBox = false;
    std::vector<double> spacing;  // x, y, z; empty if unknown
    QString swcFile;              // the suggestion
};

class TraceDialog : public QDialog {
    Q_OBJECT

public:
    TraceDialog(const Choices& choices, const ImageFacts& facts, bool enhance, QWidget* parent);

    Choices choices() const;

    // Handles OK, and asks before a file is replaced.
    void accept() override;

private:
    QWidget* imageBox(const Choices& choices, const ImageFacts& facts);
    QWidget* resultBox(const Choices& choices, const ImageFacts& facts);
    void showSource(const ImageFacts& facts);
    QWidget* advancedBox(const Choices& choices, const ImageFacts& facts);

    Choices start_;
    bool enhance_;
    ServerBox* server_;
    QComboBox* send_;
    QSpinBox* channel_;
    QComboBox* region_;
    QComboBox* root_;
    QCheckBox* mask_;
    QComboBox* overlay_;
    QComboBox* colour_;
    QCheckBox* save_;
    QLineEdit* swcFile_;
    QCheckBox* doubts_;
    QComboBox* enhancer_;
    QLineEdit* model_;
    QSpinBox* threshold_;
    QDoubleSpinBox* minLength_;
    QDoubleSpinBox* minConfidence_;
    QDoubleSpinBox* gap_;
    QSpinBox* passes_;
    QComboBox* trees_;
    QComboBox* spines_;
    QComboBox* contrast_;
    QDoubleSpinBox* spacing_[3] = {};
};

// The dialog for address, keys and limits.
class ServerDialog : public QDialog {
    Q_OBJECT

public:
    ServerDialog(const Choices& choices, QWidget* parent);

    Choices choices() const;

private:
    Choices start_;
    ServerBox* server_;
    QDoubleSpinBox* minutes_;
    QCheckBox* reuse_;
};
