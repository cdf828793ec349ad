#include "driver.h"

#include <QApplication>
#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QLabel>
#include <QLineEdit>
#include <QMessageBox>
#include <QProgressBar>
#include <QPushButton>
#include <QSpinBox>
#include <QTimer>

Driver::Driver(nlohmann::json script) : script_(std::move(script)) {
    for (const char* name : {"messages", "stages", "percents"})
        seen[name] = nlohmann::json::array();
    startTimer(20);
}

void Driver::timerEvent(QTimerEvent*) {
    QWidget* modal = QApplication::activeModalWidget();
    if (auto* box = qobject_cast<QMessageBox*>(modal)) {
        seen["messages"].push_back(box->text().toStdString());
        picture(box, "message");
        const auto answer = script_.value("no", false) ? QMessageBox::No : QMessageBox::Yes;
        if (auto* button = box->button(answer)) {
            refused_ = answer == QMessageBox::No;
            button->click();
        } else {
            box->accept();
        }
    } else if (auto* dialog = qobject_cast<QDialog*>(modal)) {
        if (dialog->findChild<QLabel*>("stage"))
            atTask(dialog);
        else
            atDialog(dialog);
    }
}

void Driver::atDialog(QDialog* dialog) {
    if (filled_ != dialog) fill(dialog);
    filled_ = dialog;
    if (script_.value("test", false)) {
        auto* button = dialog->findChild<QPushButton*>("test");
        if (!tested_) {
            tested_ = true;
            button->click();
        }
        if (!button->isEnabled()) return;  // it has not answered yet
        seen["answer"] = dialog->findChild<QLabel*>("answer")->text().toStdString();
    }
    picture(dialog, dialog->objectName().toStdString());
    auto* buttons = dialog->findChild<QDialogButtonBox*>();
    const bool leave = refused_ || script_.value("press", "ok") == "cancel";
    // The dialog may ask a question, which this timer can answer only when its event is over.
    QTimer::singleShot(0, buttons->button(leave ? QDialogButtonBox::Cancel : QDialogButtonBox::Ok),
                       &QPushButton::click);
}

void Driver::fill(QDialog* dialog) {
    const auto fields = script_.value("fields", nlohmann::json::object());
    for (const auto& [name, value] : fields.items()) {
        auto* widget = dialog->findChild<QWidget*>(QString::fromStdString(name));
        if (auto* line = qobject_cast<QLineEdit*>(widget))
            line->setText(QString::fromStdString(value.get<std::string>()));
        else if (auto* check = qobject_cast<QCheckBox*>(widget))
            check->setChecked(value.get<bool>());
        else if (auto* spin = qobject_cast<QSpinBox*>(widget))
            spin->setValue(value.get<int>());
        else if (auto* real = qobject_cast<QDoubleSpinBox*>(widget))
            real->setValue(value.get<double>());
        else if (auto* combo = qobject_cast<QComboBox*>(widget)) {
            const int at = combo->findData(QString::fromStdString(value.get<std::string>()));
            if (at < 0) seen["messages"].push_back("no entry " + value.dump() + " in " + name);
            combo->setCurrentIndex(at);
        } else
            seen["messages"].push_back("no field " + name);
    }
}

void Driver::atTask(QDialog* dialog) {
    if (!running_.isValid()) running_.start();
    const std::string stage = dialog->findChild<QLabel*>("stage")->text().toStdString();
    auto& stages = seen["stages"];
    if (stages.empty() || stages.back() != stage) stages.push_back(stage);
    const auto* bar = dialog->findChild<QProgressBar*>();
    if (stage == script_.value("picture_stage", stage) &&
        bar->value() / 10 <= script_.value("picture_until", 100))
        picture(dialog, "task");
    auto& percents = seen["percents"];
    if (bar->maximum() && (percents.empty() || percents.back() != bar->value() / 10))
        percents.push_back(bar->value() / 10);
    const bool due = script_.contains("cancel_after") &&
                     running_.elapsed() > 1000 * script_["cancel_after"].get<double>();
    const bool here = script_.contains("cancel_stage") && stage == script_["cancel_stage"];
    if ((!due && !here) || cancelled_) return;
    cancelled_ = true;
    running_.restart();
    QObject::connect(dialog, &QDialog::finished,
                     [this] { seen["cancel_seconds"] = running_.elapsed() / 1000.0; });
    dialog->findChild<QPushButton*>()->click();
}

void Driver::picture(QWidget* widget, const std::string& name) {
    if (!script_.contains("pictures")) return;
    const std::string folder = script_["pictures"];
    widget->grab().save(QString::fromStdString(folder + "/" + name + ".png"));
}
