#include "send_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QFileInfo>
#include <QFormLayout>
#include <QGroupBox>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>

#include "doubts.h"
#include "server_box.h"

SendDialog::SendDialog(const QList<Origin>& origins, int nodes, QWidget* parent)
    : QDialog(parent),
      origins_(origins),
      tree_(new QComboBox),
      answers_(new QCheckBox),
      server_(new ServerBox(remembered())) {
    setObjectName("dineuro_send");
    setWindowTitle("DINeuro: send corrections of " + QFileInfo(origins[0].image).fileName());
    setMinimumWidth(520);
    tree_->setObjectName("tree");
    answers_->setObjectName("answers");
    for (const Origin& origin : origins) {
        const QString name =
            origin.swc.isEmpty() ? "a tree without a file" : QFileInfo(origin.swc).fileName();
        tree_->addItem(name + ", traced " + origin.time, origin.job);
    }
    auto* text = new QLabel(
        QString(
            "The %1 traced nodes of the image take the place of the server's tree. The server keeps "
            "both, and the change can be undone on its page.")
            .arg(nodes));
    text->setWordWrap(true);
    auto* box = new QGroupBox("Corrected tree");
    auto* form = new QFormLayout(box);
    form->addRow("Tree", tree_);
    form->addRow(answers_);
    form->addRow(text);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel);
    buttons->button(QDialogButtonBox::Ok)->setText("Send");
    connect(buttons, &QDialogButtonBox::accepted, this, &QDialog::accept);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(box);
    layout->addWidget(server_);
    layout->addWidget(buttons);
    connect(tree_, qOverload<int>(&QComboBox::currentIndexChanged), this, &SendDialog::choose);
    choose();
}

void SendDialog::choose() {
    const auto count = decidedDoubts(origin().swc).size();
    answers_->setEnabled(count > 0);
    answers_->setChecked(count > 0);
    answers_->setText(count == 0 ? QString("No place to proofread is decided")
                                 : QString("Send the decisions about %1 place%2 to proofread")
                                       .arg(count)
                                       .arg(count == 1 ? "" : "s"));
    server_->setAddress(origin().server);
}

const Origin& SendDialog::origin() const { return origins_[std::max(tree_->currentIndex(), 0)]; }

bool SendDialog::sendsAnswers() const { return answers_->isChecked(); }

Choices SendDialog::server() const {
    Choices choices = remembered();
    server_->store(choices);
    return choices;
}
