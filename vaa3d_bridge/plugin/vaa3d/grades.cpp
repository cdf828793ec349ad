#include "grades.h"

#include <cstdlib>
#include <iomanip>
#include <locale>
#include <sstream>

namespace {

constexpr const char* kColumns = "# n type x y z radius parent";
constexpr const char* kMore =
    " seg_id level mode timestamp teraflyindex confidence probability contrast gap_share tortuosity";

// Vaa3D's colours of types: 7 is green, 6 yellow, 2 red. The report counts a segment from 0.9 on as
// certain.
int typeOfGrade(double confidence) { return confidence >= 0.9 ? 7 : confidence >= 0.5 ? 6 : 2; }

Grade gradeOf(const dineuro::Json& segment, long number) {
    Grade grade;
    grade.segment = number;
    const auto read = [&](const char* name, double& into) {
        const auto found = segment.find(name);
        if (found != segment.end() && found->is_number()) into = found->get<double>();
    };
    read("confidence", grade.confidence);
    read("probability", grade.probability);
    read("contrast", grade.contrast);
    read("gap_share", grade.gapShare);
    read("tortuosity", grade.tortuosity);
    return grade;
}

std::string decimals(double value) {
    std::ostringstream text;
    // The decimal sign is a point in every locale.
    text.imbue(std::locale::classic());
    text << std::setprecision(4) << value;
    return text.str();
}

}  // namespace

Grades gradesOf(const std::vector<dineuro::Node>& nodes, const dineuro::Json& report) {
    Grades grades;
    if (!report.is_object()) return grades;
    std::unordered_map<long, const dineuro::Node*> byId;
    for (const auto& node : nodes) byId[node.id] = &node;
    std::vector<std::pair<long, long>> above;  // the segments' starts and ends
    for (const auto& segment : report.value("segments", dineuro::Json::array())) {
        const long start = segment.value("start", -1L), end = segment.value("end", -1L);
        const Grade grade = gradeOf(segment, static_cast<long>(above.size()));
        above.emplace_back(start, end);
        auto found = byId.find(end);
        // No path is longer than the tree, even if its parents form a circle.
        for (auto left = nodes.size(); left > 0 && found != byId.end(); --left) {
            const dineuro::Node& node = *found->second;
            if (node.id == start || node.parent < 0) break;
            grades[node.id] = grade;
            found = byId.find(node.parent);
        }
    }
    for (auto& [id, grade] : grades) {
        long segment = grade.segment;
        for (auto left = above.size(); left > 0; --left) {
            const auto upper = grades.find(above[static_cast<std::size_t>(segment)].first);
            if (upper == grades.end()) break;
            segment = upper->second.segment;
            ++grade.level;
        }
    }
    return grades;
}

std::vector<dineuro::Node> gradedNodes(std::vector<dineuro::Node> nodes, const Grades& grades) {
    for (auto& node : nodes)
        if (const auto found = grades.find(node.id); found != grades.end())
            node.type = typeOfGrade(found->second.confidence);
    return nodes;
}

std::string eswcText(const std::string& swc, const Grades& grades) {
    std::istringstream lines(swc);
    std::string text;
    for (std::string line; std::getline(lines, line);) {
        text += line;
        if (line == kColumns) text += kMore;
        if (!line.empty() && line[0] != '#') {
            const auto found = grades.find(std::strtol(line.c_str(), nullptr, 10));
            const Grade grade = found == grades.end() ? Grade() : found->second;
            text +=
                " " + std::to_string(grade.segment) + " " + std::to_string(grade.level) + " 0 0 0";
            for (const double value : {grade.confidence, grade.probability, grade.contrast,
                                       grade.gapShare, grade.tortuosity})
                text += " " + decimals(value);
        }
        text += "\n";
    }
    return text;
}
