/*
parser.cpp - PTX text to kernels. See ptx.h.

Every operand becomes a place in the warp's file: a register its own, an immediate or a symbol's address one that holds the
value for all lanes, a special register one that is filled when the warp starts. The parser refuses what it does not understand.
*/
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "memory.h"
#include "table.h"
#include "text.h"

namespace sctd::ptx {
namespace {

struct Register {
    uint32_t at;
    uint8_t size;  // 0: a predicate
};

struct Symbol {
    Space space;
    int64_t at;
};

class KernelParser {
public:
    KernelParser(Kernel& kernel, std::map<std::string, Declared> shared)
        : k_(kernel), outside_(std::move(shared)) {
        allot(4);  // place 0 means none
        scopes_.emplace_back();
    }

    void parameter(const Line& line, const std::string& text) {
        const Declared d = declared(line, text);
        const int at = place(k_.parameter_bytes, d);
        k_.parameters.push_back({at, d.bytes});
        symbols_[d.name] = {Space::kParam, at};
    }

    void statement(const Line& line) {
        const std::string& text = line.text;
        if (text == "{") return scopes_.emplace_back(), void();
        if (text == "}") return scopes_.pop_back();
        if (text.back() == ':') return label(line, text.substr(0, text.size() - 1));
        if (text[0] != '.') return instruction(line);
        const std::string first = words(text)[0];
        if (first == ".reg") return registers(line);
        if (first == ".pragma" || first == ".branchtargets") return;
        if (first != ".shared" && first != ".local") reject(line, "unknown directive");
        const Declared d = declared(line, text);
        const bool shared = first == ".shared";
        symbols_[d.name] = {shared ? Space::kShared : Space::kLocal,
                            place(shared ? k_.shared_bytes : k_.local_bytes, d)};
    }

    void finish() {
        Instruction end;  // of a kernel that does not return by itself
        end.kind = Kind::kExit, end.text = "}";
        k_.code.push_back(end);
        for (auto& [index, where] : branches_) {
            const auto found = labels_.find(where.second);
            if (found == labels_.end()) reject(where.first, "no such label");
            k_.code[index].target = found->second;
        }
        if (k_.local_bytes % 8) k_.local_bytes += 8 - k_.local_bytes % 8;
    }

private:
    static int place(int& used, const Declared& d) {
        const int at = (used + d.align - 1) / d.align * d.align;
        used = at + d.bytes;
        return at;
    }

    // A place in the file that nothing has written: not a number in every format, an address of nothing.
    uint32_t allot(int element) {
        const uint32_t bytes = element ? uint32_t(element) * kLanes : 4,
                       at = uint32_t(k_.file.size() + 31) / 32 * 32;
        k_.file.resize(at + bytes, char(0xff));
        return at;
    }

    uint32_t constant(uint64_t bits, int element) {
        const auto key = std::make_pair(bits, element);
        if (const auto found = constants_.find(key); found != constants_.end()) return found->second;
        const uint32_t at = allot(element);
        if (!element) bits = bits ? kAll : 0;
        for (int l = 0; l < (element ? kLanes : 1); ++l)
            std::memcpy(k_.file.data() + at + size_t(l) * element, &bits, element ? element : 4);
        return constants_[key] = at;
    }

    void label(const Line& line, const std::string& name) {
        if (!labels_.emplace(name, int(k_.code.size())).second) reject(line, "a label twice");
    }

    // .reg .b32 %r<7>;  .reg .pred p, q;
    void registers(const Line& line) {
        const std::vector<std::string> w = words(line.text);
        const uint8_t size = uint8_t(bytes_of_type(line, w[1]));
        const std::string names = line.text.substr(line.text.find(w[1]) + w[1].size());
        for (const std::string& name : split(names, ',')) {
            const size_t open = name.find('<');
            if (open == std::string::npos) {
                scopes_.back()[name] = {allot(size), size};
                continue;
            }
            families_[name.substr(0, open)] = size;  // made when used: compilers declare more than they need
        }
    }

    std::optional<Register> find_register(const std::string& name) {
        for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
            if (const auto found = scope->find(name); found != scope->end()) return found->second;
        const size_t digits = name.find_last_not_of("0123456789") + 1;
        const auto family = families_.find(name.substr(0, digits));
        if (digits == name.size() || family == families_.end()) return std::nullopt;
        return scopes_.front()[name] = {allot(family->second), family->second};
    }

    std::optional<Register> special_register(const std::string& name) {
        if (name == "%laneid") {
            const bool fresh = !lane_id_;
            if (fresh) lane_id_ = allot(4);
            for (uint32_t l = 0; fresh && l < kLanes; ++l)
                std::memcpy(k_.file.data() + lane_id_ + 4 * l, &l, 4);
            return Register{lane_id_, 4};
        }
        const size_t dot = name.find('.');
        if (dot == std::string::npos || dot + 2 != name.size()) return std::nullopt;
        const std::string what = name.substr(0, dot);
        auto* const places = what == "%tid"      ? &k_.tid
                             : what == "%ctaid"  ? &k_.ctaid
                             : what == "%ntid"   ? &k_.ntid
                             : what == "%nctaid" ? &k_.nctaid
                                                 : nullptr;
        const int axis = name[dot + 1] - 'x';
        if (!places || axis < 0 || axis > 2) return std::nullopt;
        uint32_t& at = (*places)[size_t(axis)];
        if (!at) at = allot(4);
        return Register{at, 4};
    }

    std::optional<uint64_t> number(const std::string& s) {
        if (s.compare(0, 2, "0f") == 0 || s.compare(0, 2, "0F") == 0 || s.compare(0, 2, "0d") == 0 ||
            s.compare(0, 2, "0D") == 0)
            return std::strtoull(s.c_str() + 2, nullptr, 16);
        if (s == "WARP_SZ") return kLanes;
        char* end = nullptr;
        const uint64_t value =
            s[0] == '-' ? uint64_t(std::strtoll(s.c_str(), &end, 0)) : std::strtoull(s.c_str(), &end, 0);
        if (end == s.c_str() || (*end && std::strcmp(end, "U") != 0)) return std::nullopt;
        return value;
    }

    std::optional<Symbol> symbol(const std::string& name) {
        if (const auto found = symbols_.find(name); found != symbols_.end()) return found->second;
        const auto found = outside_.find(name);
        if (found == outside_.end()) return std::nullopt;
        return symbols_[name] = {Space::kShared, place(k_.shared_bytes, found->second)};
    }

    // A register, a number or a symbol, `wanted` bytes wide (-1: as wide as it is; numbers then take 8).
    Register value(const Line& line, const std::string& text, int wanted) {
        std::optional<Register> found = find_register(text);
        if (!found) found = special_register(text);
        if (found) {
            if (wanted >= 0 && found->size != wanted)
                reject(line, text + " has " + std::to_string(found->size) +
                                 " bytes where the instruction takes " + std::to_string(wanted));
            return *found;
        }
        const int size = wanted < 0 ? 8 : wanted;
        if (const auto bits = number(text)) return {constant(*bits, size), uint8_t(size)};
        if (const auto found_symbol = symbol(text))
            return {constant(uint64_t(found_symbol->at), size), uint8_t(size)};
        reject(line, "unknown operand " + text);
    }

    void operand(const Line& line, Instruction& i, char kind, const std::string& text) {
        if (i.operands == kMostOperands) reject(line, "too many operands");
        Register place{};
        if (kind == '[') {
            std::string inner = trimmed(text.substr(1, text.size() - 2));
            if (text[0] != '[') reject(line, "an address must stand in brackets");
            if (const size_t plus = inner.find('+'); plus != std::string::npos) {
                i.offset = std::strtoll(inner.c_str() + plus + 1, nullptr, 0);
                inner = trimmed(inner.substr(0, plus));
            }
            place = value(line, inner, -1);
            if (place.size != 4 && place.size != 8) reject(line, "an address has 4 or 8 bytes");
        } else if (text == "_") {
            place = {allot(8), uint8_t(8)};  // nobody reads it
        } else {
            const int wanted = kind == 'p' || kind == '?' ? 0
                               : kind == 'h'              ? 2
                               : kind == 'w'              ? 4
                               : kind == 'd'              ? 8
                                                          : -1;
            place = value(line, text, wanted);
        }
        i.at[i.operands] = place.at;
        i.size[i.operands++] = place.size;
    }

    // Operands in the order of the text, vectors {a, b} and pairs a|b taken apart; where one may be absent it is "_".
    static std::vector<std::string> operands(const std::string& text, size_t optional) {
        std::vector<std::string> out;
        for (const std::string& part : split(text, ','))
            if (part[0] == '{')
                for (const std::string& element : split(part.substr(1, part.size() - 2), ','))
                    out.push_back(element);
            else
                for (const std::string& half : split(part, '|')) out.push_back(half);
        if (optional <= out.size() && text.find('|') == std::string::npos)
            out.insert(out.begin() + long(optional), "_");
        return out;
    }

    // mov takes registers apart and puts them together too: "mov.b64:take2", "mov.b64:put2".
    static std::string full_name(const std::string& opcode, const std::string& rest) {
        const size_t open = rest.find('{');
        if (opcode.compare(0, 4, "mov.") != 0 || open == std::string::npos) return opcode;
        const auto parts =
            1 + std::count(rest.begin() + long(open), rest.begin() + long(rest.find('}')), ',');
        return opcode + (open == 0 ? ":take" : ":put") + std::to_string(parts);
    }

    void instruction(const Line& line) {
        Instruction i;
        i.line = line.number, i.text = line.text;
        std::string text = line.text;
        if (text[0] == '@') {
            i.negated = text[1] == '!';
            const size_t from = i.negated ? 2 : 1, end = text.find_first_of(" \t", from);
            i.guard = value(line, text.substr(from, end - from), 0).at;
            text = trimmed(text.substr(end));
        }
        const size_t end = std::min(text.find_first_of(" \t"), text.size());
        const std::string rest = trimmed(text.substr(end)), opcode = full_name(text.substr(0, end), rest);
        auto found = table().find(opcode);
        if (found == table().end()) reject(line, "the executor has no opcode " + opcode);
        i.run = found->second.run, i.kind = found->second.kind;
        if (i.kind == Kind::kBranch) {
            branches_.push_back({k_.code.size(), {line, rest}});
            return k_.code.push_back(std::move(i));
        }
        const std::vector<std::string> given = operands(rest, found->second.form.find('?'));
        if (given.size() != found->second.form.size()) {  // min and max take two or three
            found = table().find(opcode + ":" + std::to_string(given.size() - 1));
            if (found == table().end()) reject(line, "this many operands is not what it takes");
            i.run = found->second.run;
        }
        for (size_t f = 0; f < given.size(); ++f) operand(line, i, found->second.form[f], given[f]);
        k_.code.push_back(std::move(i));
    }

    Kernel& k_;
    std::map<std::string, Declared> outside_;  // shared arrays of the whole text
    std::map<std::string, Symbol> symbols_;
    std::map<std::string, uint8_t> families_;
    std::vector<std::map<std::string, Register>> scopes_;
    std::map<std::pair<uint64_t, int>, uint32_t> constants_;
    std::map<std::string, int> labels_;
    std::vector<std::pair<size_t, std::pair<Line, std::string>>> branches_;
    uint32_t lane_id_ = 0;
};

// `.visible .entry name(.param ..., .param ...) .maxntid 128`: up to the brace of the body.
void head(const Line& line, Kernel& kernel, std::string* parameters) {
    const std::string& s = line.text;
    const size_t at = s.find(".entry") + 6, open = s.find('(', at);
    kernel.name = trimmed(s.substr(at, open - at));
    if (open == std::string::npos) return;
    const size_t close = s.find(')', open);
    *parameters = s.substr(open + 1, close - open - 1);
}

}  // namespace

std::vector<Kernel> parse(const std::string& text, int dynamic_shared) {
    std::vector<Kernel> kernels;
    std::map<std::string, Declared> shared;
    const std::vector<Line> lines = statements(text.substr(0, text.find("\n\t.section")) + "\n");
    for (size_t i = 0; i < lines.size(); ++i) {
        const Line& line = lines[i];
        if (line.text.find(".entry") == std::string::npos) {
            if (line.text.compare(0, 7, ".global") == 0) continue;  // who uses one meets an unknown operand
            if (line.text.find(".shared") == std::string::npos)
                reject(line, "not understood outside a kernel");
            Declared d = declared(line, line.text);
            if (d.bytes < 0) d.bytes = dynamic_shared;
            shared[d.name] = d;
            continue;
        }
        Kernel kernel;
        std::string parameters;
        head(line, kernel, &parameters);
        KernelParser parser(kernel, shared);
        for (const std::string& p : split(parameters, ',')) parser.parameter(line, p);
        int depth = 0;
        while (++i < lines.size()) {
            depth += (lines[i].text == "{") - (lines[i].text == "}");
            if (depth == 0) break;
            if (depth == 1 && lines[i].text == "{") continue;  // the body itself
            parser.statement(lines[i]);
        }
        parser.finish();
        kernels.push_back(std::move(kernel));
    }
    return kernels;
}

}  // namespace sctd::ptx
