// The dialog of work at the server: stage, per cent, Cancel.
#pragma once

#include <mutex>

#include <QDialog>

#include "client/client.h"
#include "task.h"

class QLabel;
class QProgressBar;
class QPushButton;

// The dialog is modal during all the work, so that the user cannot close the image.
class TaskDialog : public QDialog {
    Q_OBJECT

public:
    // Runs on a thread of its own. It stores its result where its creator finds it after `run`.
    using Work = std::function<void(const dineuro::Progress&, const dineuro::Cancelled&)>;

    TaskDialog(const QString& name, Work work, QWidget* parent);

    // Returns when the work has ended. Throws its exception, also dineuro::Error("cancelled").
    void run();

    // Handles Escape, the close button and Cancel. The dialog stays until the work has ended.
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
    Task<bool> task_;  // the last member, because it uses the others
};
