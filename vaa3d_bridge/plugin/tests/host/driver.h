// A user at the dialogs: fills in, presses, waits, and remembers what was shown.
#pragma once

#include <QElapsedTimer>
#include <QObject>
#include <QPointer>
#include <QWidget>

#include <nlohmann/json.hpp>

class QDialog;

class Driver : public QObject {
    Q_OBJECT

public:
    // script: "no" true refuses a question and leaves; "fields" {object name: value} for the
    // dialog, "test" true presses Test connection and waits, "press" "cancel" leaves the dialog,
    // "cancel_stage" and "cancel_after" cancel the job, "pictures" a folder for screenshots,
    // "picture_stage" and "picture_until" the stage and per cent up to which the job's is taken.
    explicit Driver(nlohmann::json script);

    // "messages", "stages", "answer", "percents", "cancel_seconds".
    nlohmann::json seen = nlohmann::json::object();

protected:
    void timerEvent(QTimerEvent* event) override;

private:
    void atDialog(QDialog* dialog);
    void atTask(QDialog* dialog);
    void fill(QDialog* dialog);
    void picture(QWidget* widget, const std::string& name);

    nlohmann::json script_;
    QPointer<QWidget> filled_;
    bool tested_ = false, cancelled_ = false, refused_ = false;
    QElapsedTimer running_;
};
