#include "text.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <stdexcept>

namespace sctd::ptx {
namespace {

bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

}  // namespace

void reject(const Line& line, const std::string& what) {
    throw std::runtime_error("ptx: line " + std::to_string(line.number) + ": " + what + ": " + line.text);
}

std::string trimmed(const std::string& s) {
    const size_t from = s.find_first_not_of(" \t\r\n");
    return from == std::string::npos ? "" : s.substr(from, s.find_last_not_of(" \t\r\n") - from + 1);
}

std::vector<std::string> words(const std::string& s) {
    std::vector<std::string> out;
    for (size_t i = 0; i < s.size();) {
        while (i < s.size() && std::isspace(static_cast<unsigned char>(s[i]))) ++i;
        size_t j = i;
        while (j < s.size() && !std::isspace(static_cast<unsigned char>(s[j]))) ++j;
        if (j > i) out.push_back(s.substr(i, j - i));
        i = j;
    }
    return out;
}

std::vector<std::string> split(const std::string& s, char at) {
    std::vector<std::string> out;
    int depth = 0;
    std::string part;
    for (char c : s) {
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c == at && depth == 0)
            out.push_back(trimmed(part)), part.clear();
        else
            part += c;
    }
    if (!trimmed(part).empty()) out.push_back(trimmed(part));
    return out;
}

std::vector<Line> statements(const std::string& text) {
    std::vector<Line> out;
    std::string now;
    int number = 1, started = 0;
    const auto finish = [&] {
        const std::string s = trimmed(now);
        if (!s.empty()) out.push_back({started, s});
        now.clear();
    };
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\n') ++number;
        if (text.compare(i, 2, "//") == 0) {
            i = text.find('\n', i);
            if (i == std::string::npos) break;
            --i;
            continue;
        }
        if (text.compare(i, 2, "/*") == 0) {
            const size_t end = std::min(text.find("*/", i), text.size());
            number += int(std::count(text.begin() + long(i), text.begin() + long(end), '\n'));
            i = end + 1;
            continue;
        }
        const std::string so_far = trimmed(now);
        if (so_far.empty()) started = number;
        // some directives end with their line
        const bool directive =
            !so_far.empty() && so_far[0] == '.' && so_far.find_first_of("({") == std::string::npos;
        if (c == '\n' && directive) {
            const std::string first = words(so_far)[0];
            if (first == ".loc" || first == ".file" || first == ".version" || first == ".target" ||
                first == ".address_size") {
                now.clear();
                continue;
            }
        }
        if (c == ';') {
            finish();
        } else if (c == ':' && !so_far.empty() && std::all_of(so_far.begin(), so_far.end(), is_word)) {
            now += c, finish();
        } else if (c == '{' &&
                   (so_far.empty() || (so_far[0] == '.' && so_far.find('=') == std::string::npos))) {
            finish(), out.push_back({number, "{"});
        } else if (c == '}' && so_far.empty()) {
            out.push_back({number, "}"});
        } else {
            now += c;
        }
    }
    finish();
    return out;
}

int bytes_of_type(const Line& line, const std::string& type) {
    const size_t digit = type.find_first_of("0123456789");
    if (type == ".pred") return 0;
    if (digit == std::string::npos) reject(line, "unknown type " + type);
    return std::atoi(type.c_str() + digit) / 8;
}

Declared declared(const Line& line, const std::string& text) {
    Declared out;
    const std::vector<std::string> w = words(text);
    int element = -1;
    for (size_t i = 0; i + 1 < w.size(); ++i) {
        if (w[i] == ".align" && element < 0)
            out.align = std::atoi(w[++i].c_str());
        else if (w[i] == ".align")
            ++i;  // of what a pointer points to
        else if (element < 0 && w[i].find_first_of("0123456789") != std::string::npos && w[i][0] == '.')
            element = bytes_of_type(line, w[i]);
    }
    if (element < 0) reject(line, "a declaration without a type");
    out.name = w.back();
    out.bytes = element;
    out.align = std::max(out.align, element);
    if (const size_t open = out.name.find('['); open != std::string::npos) {
        const std::string count = out.name.substr(open + 1, out.name.find(']') - open - 1);
        out.bytes = count.empty() ? -1 : element * std::atoi(count.c_str());
        out.name = out.name.substr(0, open);
    }
    return out;
}

}  // namespace sctd::ptx
