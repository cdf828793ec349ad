#include "protocol.h"

#include <map>

#include "errors.h"

namespace dineuro {
namespace {

enum class Kind { whole, text, number, flag, object, list };

struct Field {
    const char* name;
    Kind kind;
    bool needed;
};

constexpr Kind whole = Kind::whole, text = Kind::text, number = Kind::number, flag = Kind::flag,
               object = Kind::object, list = Kind::list;

// The fields of each type. Unknown fields are ignored.
const std::map<std::string, std::vector<Field>, std::less<>>& types() {
    static const std::map<std::string, std::vector<Field>, std::less<>> fields = {
        {"HELLO", {{"protocol", whole, true}, {"client", text, false}}},
        {"WELCOME",
         {{"protocol", whole, true},
          {"server", text, true},
          {"max_bytes", whole, true},
          {"chunk_bytes", whole, true},
          {"credit", whole, true},
          {"heartbeat_s", number, true},
          {"idle_s", number, true},
          {"models", list, true},
          {"devices", list, false},
          {"waiting", whole, false},
          {"by_path", flag, false},
          {"edits", flag, false}}},
        {"SUBMIT",
         {{"request", text, true},
          {"kind", text, true},
          {"nbytes", whole, false},
          {"volume", object, false},
          {"sha256", text, false},
          {"source", text, false},
          {"params", object, false},
          {"priority", whole, false},
          {"time_limit_s", number, false},
          {"reuse", flag, false},
          {"path", text, false},
          {"fingerprint", text, false}}},
        {"ACCEPT",
         {{"request", text, true},
          {"transfer", text, true},
          {"next", whole, true},
          {"credit", whole, true}}},
        {"REJECT",
         {{"request", text, true},
          {"code", text, true},
          {"detail", text, true},
          {"retry_after", whole, false}}},
        {"CHUNK",
         {{"transfer", text, false},
          {"seq", whole, false},
          {"job", text, false},
          {"part", text, false},
          {"offset", whole, false}}},
        {"CREDIT", {{"transfer", text, true}, {"n", whole, true}}},
        {"QUEUED", {{"request", text, true}, {"job", text, true}, {"reused", flag, true}}},
        {"PROGRESS",
         {{"job", text, true},
          {"state", text, true},
          {"stage", text, false},
          {"done", whole, false},
          {"total", whole, false}}},
        {"RESULT", {{"job", text, true}, {"parts", object, true}, {"reused", flag, true}}},
        {"FETCH",
         {{"job", text, true},
          {"part", text, true},
          {"offset", whole, true},
          {"nbytes", whole, true}}},
        {"ATTACH", {{"transfer", text, false}, {"job", text, false}}},
        {"CANCEL", {{"transfer", text, false}, {"job", text, false}}},
        {"CANCELLED", {{"transfer", text, false}, {"job", text, false}}},
        {"EDITS",
         {{"request", text, true},
          {"job", text, true},
          {"what", text, false},
          {"offset", whole, false}}},
        {"EDIT", {{"request", text, true}, {"job", text, true}, {"revision", whole, true}}},
        {"EDITED",
         {{"request", text, true},
          {"job", text, true},
          {"revision", whole, true},
          {"offset", whole, true},
          {"nbytes", whole, true}}},
        {"ERROR",
         {{"code", text, true},
          {"detail", text, true},
          {"id", text, false},
          {"job", text, false},
          {"transfer", text, false},
          {"request", text, false},
          {"retry_after", whole, false}}},
        {"PING", {}},
        {"PONG", {}},
    };
    return fields;
}

constexpr std::int64_t kWhole = std::int64_t{1} << 62;

bool isWhole(const Json& value) {
    if (value.is_number_unsigned())
        return value.get<std::uint64_t>() < static_cast<std::uint64_t>(kWhole);
    return value.is_number_integer() && value.get<std::int64_t>() > -kWhole;
}

bool is(const Json& value, Kind kind) {
    switch (kind) {
        case Kind::whole: return isWhole(value);
        case Kind::text: return value.is_string();
        case Kind::number: return value.is_number() && value.get<double>() >= 0;
        case Kind::flag: return value.is_boolean();
        case Kind::object: return value.is_object();
        case Kind::list: return value.is_array();
    }
    return false;
}

const char* words(Kind kind) {
    switch (kind) {
        case Kind::whole: return "whole number";
        case Kind::text: return "text";
        case Kind::number: return "number of 0 or more";
        case Kind::flag: return "true or false";
        case Kind::object: return "object";
        case Kind::list: return "list";
    }
    return "";
}

[[noreturn]] void refuse(const std::string& detail) { throw Error("bad_request", detail); }

std::string printable(std::string_view raw) {
    std::string out = "'";
    for (unsigned char sign : raw.substr(0, 32)) out += sign >= 32 && sign < 127 ? char(sign) : '?';
    return out + "'";
}

void check(const std::string& type, const Json& header) {
    if (!header.is_object()) refuse(type + ": the header is no JSON object");
    const auto& fields = types().find(type)->second;
    for (const Field& field : fields)
        if (field.needed && !header.contains(field.name))
            refuse(type + ": the header lacks '" + field.name + "'");
    for (const Field& field : fields)
        if (auto found = header.find(field.name); found != header.end() && !is(*found, field.kind))
            refuse(type + ": '" + field.name + "' is no " + words(field.kind));
    const bool one = header.contains("transfer") != header.contains("job");
    if ((type == "ATTACH" || type == "CANCEL" || type == "CANCELLED") && !one)
        refuse(type + ": names a transfer or a job");
    if (type == "CHUNK" && !(header.contains("transfer") && header.contains("seq")) &&
        !(header.contains("job") && header.contains("part")))
        refuse("CHUNK: names a transfer and its seq, or a job, a part and an offset");
}

}  // namespace

bool hasPayload(std::string_view type) {
    return type == "CHUNK" || type == "EDIT" || type == "EDITED";
}

Frames encode(const Message& message) {
    if (types().find(message.type) == types().end())
        refuse(printable(message.type) + ": is no type of DNP1");
    check(message.type, message.header);
    // Sorted keys, no blanks and ASCII alone, like Python's encoder.
    std::string header = message.header.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (header.size() > kHeaderBytes)
        refuse(message.type + ": the header has more than 65536 bytes");
    return {std::string(kMagic), message.type, std::move(header)};
}

Message decode(const std::vector<std::string_view>& frames) {
    if (frames.size() < 3 || frames[0] != kMagic)
        refuse(
            "no message of DNP1: it has the frames DNP1, type, header and, if its type has one, a "
            "payload");
    const auto found = types().find(frames[1]);
    if (found == types().end()) refuse(printable(frames[1]) + ": is no type of DNP1");
    const std::string& type = found->first;
    if (frames.size() != (hasPayload(type) ? 4u : 3u))
        refuse(type + ": has " + std::to_string(frames.size()) + " frames");
    if (frames[2].size() > kHeaderBytes) refuse(type + ": the header has more than 65536 bytes");
    Json header;
    try {
        header = Json::parse(frames[2]);
    } catch (const Json::exception& error) {
        refuse(type + ": the header is no JSON: " + error.what());
    }
    check(type, header);
    return {type, std::move(header), hasPayload(type) ? frames[3] : std::string_view()};
}

}  // namespace dineuro
