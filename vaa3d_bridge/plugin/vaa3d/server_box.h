// The address and the keys of the server, and a test of the connection.
#pragma once

#include <memory>

#include <QGroupBox>

#include "choices.h"
#include "task.h"

class QLabel;
class QLineEdit;
class QPushButton;

class ServerBox : public QGroupBox {
    Q_OBJECT

public:
    explicit ServerBox(const Choices& choices, QWidget* parent = nullptr);

    void setAddress(const QString& address);

    // Store address and keys in the choices.
    void store(Choices& choices) const;

protected:
    void timerEvent(QTimerEvent* event) override;

private:
    void test();
    void answer(const QString& text);
    QWidget* fileRow(QLineEdit* line, const QString& title);

    QLineEdit* address_;
    QLineEdit* key_;
    QLineEdit* serverKey_;
    QPushButton* button_;
    QLabel* answer_;
    int timer_ = 0;
    std::unique_ptr<Task<dineuro::ServerInfo>> task_;
};
