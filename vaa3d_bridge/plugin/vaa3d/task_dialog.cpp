#include "task_dialog.h"

#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QVBoxLayout>

#include "messages.h"

namespace {

constexpr int kPoll = 100;  // milliseconds

}  // namespace

TaskDialog::TaskDialog(const QString& name, Work work, QWidget* parent)
    : QDialog(parent),
      label_(new QLabel(this)),
      bar_(new QProgressBar(this)),
      cancel_(new QPushButton("Cancel", this)),
      task_([this, work = std::move(work)](dineuro::Cancelled cancelled) {
          const auto progress = [this](const std::string& stage, std::uint64_t done,
                                       std::uint64_t total) {
              const std::lock_guard<std::mutex> lock(mutex_);
              state_ = {QString::fromStdString(stage), done, total};
          };
          work(progress, cancelled);
          return true;
      }) {
    setWindowTitle("DINeuro: " + name);
    setWindowModality(Qt::ApplicationModal);
    setMinimumWidth(420);
    label_->setObjectName("stage");
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(label_);
    layout->addWidget(bar_);
    layout->addWidget(cancel_, 0, Qt::AlignRight);
    connect(cancel_, &QPushButton::clicked, this, &TaskDialog::reject);
    show(state());
    startTimer(kPoll);
}

void TaskDialog::run() {
    exec();
    task_.take();
}

void TaskDialog::reject() {
    task_.cancel();
    cancelled_ = true;
    cancel_->setEnabled(false);
    label_->setText("Cancelling...");
}

void TaskDialog::timerEvent(QTimerEvent*) {
    if (!cancelled_) show(state());
    if (task_.over()) done(Accepted);
}

TaskDialog::State TaskDialog::state() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return state_;
}

void TaskDialog::show(const State& state) {
    label_->setText(stageName(state.stage) + "...");
    // Without a total the bar shows activity only.
    bar_->setRange(0, state.total ? 1000 : 0);
    if (!state.total) return;
    const double share = static_cast<double>(state.done) / static_cast<double>(state.total);
    bar_->setValue(static_cast<int>(1000 * share));
    bar_->setFormat(QString("%1 %").arg(static_cast<int>(100 * share)));
}
