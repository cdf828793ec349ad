#include "send_corrections.h"

#include <QFileInfo>
#include <QMessageBox>

#include "client/errors.h"
#include "doubts.h"
#include "messages.h"
#include "outcome.h"
#include "send_dialog.h"
#include "sending.h"
#include "task_dialog.h"
#include "trees.h"

namespace {

QList<Answer> answersOf(const Origin& origin) {
    QList<Answer> answers;
    for (const Doubt& doubt : decidedDoubts(origin.swc))
        answers << Answer{doubt.name.section(' ', 0, 0).toInt(), doubt.decision == "accepted",
                          doubt.x - 1, doubt.y - 1, doubt.z - 1};
    return answers;
}

// The error with a remedy that is one for trees.
dineuro::Error aboutTree(const dineuro::Error& error) {
    const std::string code = error.code();
    const auto with = [&](const char* remedy) {
        return dineuro::Error("tree", std::string(error.what()) + ".\n\n" + remedy);
    };
    if (code == "not_found")
        return with(
            "The server no longer has the job of this tree, or another owner has it. Trace the image again, "
            "and correct that tree");
    if (code == "too_large")
        return with(
            "Save the tree from the 3D window, and send it over HTTP: docs/operating.md, \"replace\"");
    if (code == "no_edits") return with("Update the server");
    if (code == "bad_edit" || code == "bad_tree")
        return with("Correct this in Vaa3D, and send the tree again");
    return error;
}

// One conversation with the server about one tree.
class Conversation {
public:
    Conversation(V3DPluginCallback2& callback, v3dhandle window, const SendDialog& dialog,
                 QWidget* parent)
        : callback_(callback),
          window_(window),
          parent_(parent),
          tree_(callback.getSWC(window)),
          origin_(dialog.origin()),
          drawing_(drawingOf(window, origin_)),
          client_(dialog.server().client()) {
        origin_.server = dialog.server().server;
        if (dialog.sendsAnswers()) answers_ = answersOf(origin_);
    }

    // Returns what to tell the user; empty if the user declined.
    QString run() {
        for (;;) {
            const Present present = ask();
            const Correction correction = correctionOf(tree_, present.tree, drawing_);
            const QList<Answer> answers = newAnswers(answers_, present);
            if (!correction.differs && answers.isEmpty()) {
                know(present.revision);
                return "The server has this tree already. Nothing was sent.";
            }
            if (!isMeant(correction, present)) return {};
            try {
                return sent(present, correction, answers);
            } catch (const dineuro::Error& error) {
                if (error.code() != "outdated") throw;
                origin_.revision = present.revision;
            }
        }
    }

private:
    using Talk = std::function<void(dineuro::Editor&)>;

    void talk(const char* stage, const Talk& work) {
        const auto run = [&](const dineuro::Progress& progress,
                             const dineuro::Cancelled& cancelled) {
            progress(stage, 0, 0);
            dineuro::Editor editor = client_.editor(origin_.job.toStdString(), cancelled);
            work(editor);
        };
        TaskDialog(QFileInfo(origin_.image).fileName(), run, parent_).run();
    }

    Present ask() {
        Present present;
        talk("edits", [&](dineuro::Editor& editor) { present = presentOf(editor); });
        return present;
    }

    bool isMeant(const Correction& correction, const Present& present) {
        QString question;
        if (correction.kept == 0)
            question =
                "No node of the image's tree lies where the server's tree has one. It may be the tree of "
                "another image.";
        else if (present.revision != origin_.revision)
            question = editsAfter(present.record, origin_.revision) +
                       " The tree in the image lacks these edits.";
        if (question.isEmpty()) return true;
        return QMessageBox::question(parent_, "DINeuro",
                                     question + "\n\nSend it in their place?") == QMessageBox::Yes;
    }

    QString sent(const Present& present, const Correction& correction,
                 const QList<Answer>& answers) {
        Sent done;
        std::vector<dineuro::Node> tree;
        talk("send", [&](dineuro::Editor& editor) {
            done = send(editor, present, correction, answers);
            if (done.isOther) tree = dineuro::parseSwc(editor.tree().content);
        });
        know(done.revision);
        if (done.isOther) show(std::move(tree));
        return told(correction, done);
    }

    void know(std::uint64_t revision) {
        origin_.revision = revision;
        keepOrigin(origin_);
    }

    // Otherwise the next correction would take the server's own changes for the user's.
    void show(std::vector<dineuro::Node> nodes) {
        for (dineuro::Node& node : nodes) node.z = drawing_.windowZ(node.z);
        Drawing drawing = drawing_;
        drawing.byConfidence = false;
        const QString name = QFileInfo(origin_.image).fileName() + "_dineuro";
        drawTree(callback_, window_, neuronTreeOf(nodes, name), othersOf(tree_, drawing_),
                 origin_.job, drawing);
    }

    QString told(const Correction& correction, const Sent& done) const {
        QString text;
        if (correction.differs)
            text = QString("The corrected tree was sent: %1 nodes stay, %2 are new, %3 are gone.")
                       .arg(correction.kept)
                       .arg(correction.added)
                       .arg(correction.removed);
        if (correction.differs && correction.pieces > 1)
            text += QString(" It has %1 pieces that are not linked.").arg(correction.pieces);
        if (done.answers > 0)
            text += QString("\nDecisions about places to proofread that were sent: %1.")
                        .arg(done.answers);
        if (done.refused > 0)
            text += QString("\nDecisions that no longer fit the tree, and were not sent: %1.")
                        .arg(done.refused);
        if (correction.linked > 0)
            text += QString("\nDrawn branches that were linked to the neurite beside them: %1.")
                        .arg(correction.linked);
        if (done.isOther) text += "\nThe image shows the tree that the server has now.";
        return text.trimmed() +
               QString("\n\nThis is revision %1 of the tree on the server.").arg(done.revision);
    }

    V3DPluginCallback2& callback_;
    v3dhandle window_;
    QWidget* parent_;
    NeuronTree tree_;
    Origin origin_;
    Drawing drawing_;
    dineuro::Client client_;
    QList<Answer> answers_;
};

}  // namespace

void sendCorrections(V3DPluginCallback2& callback, QWidget* parent) {
    const v3dhandle window = imageWindow(callback);
    const auto inform = [parent](const QString& text) {
        QMessageBox::information(parent, "DINeuro", text);
    };
    if (!window) return inform("Open the image first.");
    const auto nodes = callback.getSWC(window).listNeuron.size();
    const QList<Origin> origins = originsOf(callback.getImageName(window));
    if (nodes == 0)
        return inform("The image has no traced tree. Trace it, or load its tree first.");
    if (origins.isEmpty())
        return inform(
            "No tree of this image was traced by DINeuro on this computer. The server takes corrections of "
            "its own trees only.");
    SendDialog dialog(origins, static_cast<int>(nodes), parent);
    if (dialog.exec() != QDialog::Accepted) return;
    try {
        const QString text = Conversation(callback, window, dialog, parent).run();
        if (!text.isEmpty()) inform(text);
    } catch (const dineuro::Error& error) {
        if (error.code() != "cancelled")
            QMessageBox::critical(parent, "DINeuro", sentence(aboutTree(error)));
    } catch (const std::exception& error) {
        QMessageBox::critical(parent, "DINeuro",
                              QString("Internal error of the plugin: %1").arg(error.what()));
    }
}
