#include "sending.h"

#include <algorithm>

#include <QString>

#include "client/errors.h"

namespace {

// Makes one edit after the other.
class Sender {
public:
    Sender(dineuro::Editor& editor, std::uint64_t revision) : editor_(editor) {
        sent.revision = revision;
    }

    Sent sent;

    void edit(const dineuro::Json& operation) {
        sent.revision = editor_.edit(operation, sent.revision).revision;
    }

    // The server refuses an answer that the tree no longer allows. The others are still sent.
    bool answer(const Answer& answer) {
        try {
            edit({{"op", answer.accepted ? "accept" : "reject"}, {"doubt", answer.doubt}});
            ++sent.answers;
            return true;
        } catch (const dineuro::Error& error) {
            if (error.code() != "bad_edit") throw;
            ++sent.refused;
            return false;
        }
    }

private:
    dineuro::Editor& editor_;
};

}  // namespace

Present presentOf(dineuro::Editor& editor) {
    for (;;) {
        const dineuro::Edited record = editor.record(), tree = editor.tree();
        if (record.revision == tree.revision)
            return {record.revision, dineuro::Json::parse(record.content, nullptr, false),
                    dineuro::parseSwc(tree.content)};
    }
}

QList<Answer> newAnswers(const QList<Answer>& answers, const Present& present) {
    const auto known = present.record.is_object()
                           ? present.record.value("doubts", dineuro::Json::object())
                           : dineuro::Json::object();
    QList<Answer> left;
    for (const Answer& answer : answers) {
        const auto found = known.find(std::to_string(answer.doubt));
        if (found == known.end() || *found != (answer.accepted ? "accepted" : "rejected"))
            left << answer;
    }
    return left;
}

QString editsAfter(const dineuro::Json& record, std::uint64_t revision) {
    int count = 0;
    QString last = "somebody";
    for (const auto& edit : record.value("operations", dineuro::Json::array())) {
        if (edit.value("revision", std::uint64_t{0}) <= revision) continue;
        ++count;
        last = QString::fromStdString(edit.value("author", "somebody")) + ", " +
               QString::fromStdString(edit.value("time", "")).left(16).replace('T', ' ') + " UTC";
    }
    return QString("The tree was edited on the server meanwhile: %1 edit%2, the last one by %3.")
        .arg(count)
        .arg(count == 1 ? "" : "s")
        .arg(last);
}

Sent send(dineuro::Editor& editor, const Present& present, const Correction& correction,
          const QList<Answer>& answers) {
    Sender sender(editor, present.revision);
    sender.sent.isOther = correction.linked > 0;
    QList<Answer> later;
    // A place where the user drew what is missing: the tree that follows has it once.
    for (const Answer& answer : answers) {
        if (correction.differs && !answer.accepted &&
            correction.hasDrawnNear(answer.x, answer.y, answer.z))
            sender.answer(answer);
        else
            later << answer;
    }
    if (correction.differs)
        sender.edit({{"op", "replace"}, {"tree", dineuro::swcText(correction.nodes)}});
    for (const Answer& answer : later)
        if (sender.answer(answer) && !answer.accepted) sender.sent.isOther = true;
    return sender.sent;
}
