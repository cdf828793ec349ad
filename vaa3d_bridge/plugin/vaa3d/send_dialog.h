// The dialog before corrections are sent: which tree, which server, what else.
#pragma once

#include <QDialog>
#include <QList>

#include "choices.h"
#include "origins.h"

class QCheckBox;
class QComboBox;
class ServerBox;

class SendDialog : public QDialog {
    Q_OBJECT

public:
    // `origins` are those of the image, the newest first; `nodes` is the number of its nodes.
    SendDialog(const QList<Origin>& origins, int nodes, QWidget* parent);

    const Origin& origin() const;
    bool sendsAnswers() const;
    // The address and the keys.
    Choices server() const;

private:
    void choose();

    QList<Origin> origins_;
    QComboBox* tree_;
    QCheckBox* answers_;
    ServerBox* server_;
};
