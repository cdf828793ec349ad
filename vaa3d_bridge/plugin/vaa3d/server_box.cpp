#include "server_box.h"

#include <QFileDialog>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>

#include "client/errors.h"
#include "messages.h"

ServerBox::ServerBox(const Choices& choices, QWidget* parent)
    : QGroupBox("Server", parent),
      address_(new QLineEdit(choices.server)),
      key_(new QLineEdit(choices.key)),
      serverKey_(new QLineEdit(choices.serverKey)),
      button_(new QPushButton("Test connection")),
      answer_(new QLabel) {
    address_->setObjectName("server");
    address_->setToolTip("tcp://HOST:PORT; dineuro serve listens at tcp://127.0.0.1:5599");
    key_->setObjectName("key");
    key_->setPlaceholderText("only for another computer's server: NAME.key_secret");
    serverKey_->setObjectName("server_key");
    serverKey_->setPlaceholderText("only for another computer's server: server.key");
    button_->setObjectName("test");
    button_->setAutoDefault(false);
    answer_->setObjectName("answer");
    answer_->setWordWrap(true);
    answer_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    auto* top = new QHBoxLayout;
    top->addWidget(address_, 1);
    top->addWidget(button_);
    auto* form = new QFormLayout(this);
    form->addRow("Address", top);
    form->addRow("Your key", fileRow(key_, "Your key (NAME.key_secret)"));
    form->addRow("Server's key", fileRow(serverKey_, "The server's key (server.key)"));
    form->addRow(answer_);
    connect(button_, &QPushButton::clicked, this, &ServerBox::test);
}

QWidget* ServerBox::fileRow(QLineEdit* line, const QString& title) {
    auto* row = new QWidget;
    auto* layout = new QHBoxLayout(row);
    layout->setContentsMargins(0, 0, 0, 0);
    auto* browse = new QPushButton("Browse...");
    browse->setAutoDefault(false);
    layout->addWidget(line, 1);
    layout->addWidget(browse);
    connect(browse, &QPushButton::clicked, this, [this, line, title] {
        const QString file = QFileDialog::getOpenFileName(this, title, line->text());
        if (!file.isEmpty()) line->setText(file);
    });
    return row;
}

void ServerBox::setAddress(const QString& address) { address_->setText(address); }

void ServerBox::store(Choices& choices) const {
    choices.server = address_->text().trimmed();
    choices.key = key_->text().trimmed();
    choices.serverKey = serverKey_->text().trimmed();
}

void ServerBox::answer(const QString& text) {
    answer_->setText(text);
    // A form gives a wrapped text the height of one line, for any number of lines.
    answer_->setMinimumHeight(answer_->heightForWidth(answer_->width()));
    window()->adjustSize();
}

void ServerBox::test() {
    Choices choices;
    store(choices);
    try {
        const dineuro::Client client = choices.client();
        task_ = std::make_unique<Task<dineuro::ServerInfo>>(
            [client](dineuro::Cancelled cancelled) { return client.server(std::move(cancelled)); });
        button_->setEnabled(false);
        answer("Connecting...");
        timer_ = startTimer(50);
    } catch (const dineuro::Error& error) {
        answer(sentence(error));
    }
}

void ServerBox::timerEvent(QTimerEvent*) {
    if (!task_ || !task_->over()) return;
    killTimer(timer_);
    button_->setEnabled(true);
    try {
        answer(described(task_->take()));
    } catch (const dineuro::Error& error) {
        answer(sentence(error));
    }
    task_.reset();
}
