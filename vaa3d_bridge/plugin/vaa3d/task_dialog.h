// A job on its way: stage, per cent, Cancel.
#pragma once

#include <mutex>

#include <QDialog>

#include "client/client.h"
#include "task.h"

class QLabel;
class QProgressBar;
class QPushButton;

// Modal from the first to the last byte: the image that is being sent cannot be closed meanwhile.
class TaskDialog : public QDialog {
    Q_OBJECT

public:
    TaskDialog(const dineuro::Client& client, const dineuro::Volume& volume,
               const dineuro::Job& job, QWidget* parent);

    // Runs until the end. Throws dineuro::Error, "cancelled" too.
    dineuro::Result run();

    // Escape, the window's close button and Cancel: the dialog stays until the job has ended.
    void reject() override;

protected:
    void timerEvent(QTimerEvent* event) override;

private:
    struct State {
        QString stage = "upload";
        std::uint64_t done = 0, total = 0;
    };

    State state();
    void show(const State& state);

    QLabel* label_;
    QProgressBar* bar_;
    QPushButton* cancel_;
    bool cancelled_ = false;
    std::mutex mutex_;
    State state_;
    Task<dineuro::Result> task_;  // the last member: it uses the others
};
