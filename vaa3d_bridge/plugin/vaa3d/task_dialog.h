// The dialog of a running job: stage, per cent, Cancel.
#pragma once

#include <mutex>

#include <QDialog>

#include "client/client.h"
#include "task.h"

class QLabel;
class QProgressBar;
class QPushButton;

// The dialog is modal during the whole job, so that the user cannot close the image.
class TaskDialog : public QDialog {
    Q_OBJECT

public:
    TaskDialog(const dineuro::Client& client, const dineuro::Volume& volume,
               const dineuro::Job& job, QWidget* parent);

    // Runs until the job ends. Throws dineuro::Error, also "cancelled".
    dineuro::Result run();

    // Handles Escape, the close button and Cancel. The dialog stays until the job has ended.
    void reject() override;

protected:
    void timerEvent(QTimerEvent* event) override;

private:
    struct State {
        QString stage = "connect";
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
    Task<dineuro::Result> task_;  // the last member, because it uses the others
};
