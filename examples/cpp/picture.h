// A picture as a file declares it: docs/contract.md says what the keys mean, and ../picture.py does
// the same in Python. Pictures are read by stb_image, which does not turn one whose EXIF data says
// so, and some of whose levels of a JPEG are a few off those of other libraries.
#pragma once

#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace picture {

using Json = nlohmann::json;

// Whole levels from 0 to 255, line by line, the channels of a pixel beside each other.
struct Picture {
    int height, width, channels;
    std::vector<uint8_t> levels;
};

// What a network is given: floats, or bytes where the file normalises levels itself.
struct Tensor {
    std::vector<int64_t> shape;
    std::vector<float> floats;
    std::vector<uint8_t> bytes;
};

inline Json declared_in(const std::string& text) {
    if (text.empty())
        throw std::runtime_error("the file does not say how its input is prepared; deploy again");
    Json declared = Json::parse(text);
    const std::string kind = declared.at("kind");
    if (kind != "image")
        throw std::runtime_error("the file takes " + kind + "; this is an example for pictures");
    return declared;
}

inline Picture read(const std::string& path, const std::string& colours) {
    int width, height, there;
    unsigned char* rgb = stbi_load(path.c_str(), &width, &height, &there, 3);
    if (rgb == nullptr) throw std::runtime_error(path + ": " + stbi_failure_reason());
    Picture found{height, width, colours == "gray" ? 1 : 3, {}};
    for (size_t at = 0; at < size_t(height) * width * 3; at += 3) {
        if (colours == "gray")
            found.levels.push_back(uint8_t(
                std::nearbyint(0.299 * rgb[at] + 0.587 * rgb[at + 1] + 0.114 * rgb[at + 2])));
        else
            for (int channel = 0; channel < 3; channel++)
                found.levels.push_back(rgb[at + (colours == "bgr" ? 2 - channel : channel)]);
    }
    stbi_image_free(rgb);
    return found;
}

// A line of the result is a weighted sum of lines round its centre.
struct Sum {
    std::vector<int> lines;
    std::vector<double> weights;
};

inline double kernel(double away, bool cubic, double a) {
    if (!cubic) return std::max(1 - away, 0.0);
    if (away < 1) return ((a + 2) * away - (a + 3)) * away * away + 1;
    return away < 2 ? ((a * away - 5 * a) * away + 8 * a) * away - 4 * a : 0.0;
}

inline std::vector<Sum> sums(int from, int to, const Json& declared) {
    const std::string interpolation = declared.at("interpolation");
    const bool cubic = interpolation == "bicubic", antialias = declared.at("antialias");
    const double ratio = double(from) / to, wide = antialias ? std::max(ratio, 1.0) : 1.0;
    std::vector<Sum> found(to);
    for (int line = 0; line < to; line++) {
        const double centre = (line + 0.5) * ratio, reach = (cubic ? 2 : 1) * wide;
        auto& [lines, weights] = found[line];
        if (interpolation == "nearest") {
            lines = {std::min(int(centre), from - 1)};
            weights = {1.0};
            continue;
        }
        for (int near = int(std::floor(centre - reach)); near <= centre + reach; near++) {
            // Beyond the border there is nothing; without antialias, the last line goes on.
            if (antialias && (near < 0 || near >= from)) continue;
            lines.push_back(std::clamp(near, 0, from - 1));
            weights.push_back(
                kernel(std::abs(near + 0.5 - centre) / wide, cubic, antialias ? -0.5 : -0.75));
        }
        const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
        for (double& weight : weights) weight /= total;
    }
    return found;
}

inline Picture scaled(const Picture& given, int height, int width, const Json& declared) {
    if (given.height == height && given.width == width) return given;
    const int channels = given.channels;
    const size_t line = size_t(width) * channels;
    std::vector<double> narrow(given.height * line);
    const auto across = sums(given.width, width, declared);
    for (size_t y = 0; y < size_t(given.height); y++)
        for (size_t x = 0; x < size_t(width); x++)
            for (size_t tap = 0; tap < across[x].lines.size(); tap++) {
                const size_t from = (y * given.width + across[x].lines[tap]) * channels;
                for (int channel = 0; channel < channels; channel++)
                    narrow[y * line + x * channels + channel] +=
                        across[x].weights[tap] * given.levels[from + channel];
            }
    const auto down = sums(given.height, height, declared);
    Picture found{height, width, channels, {}};
    for (const Sum& sum : down) {
        std::vector<double> values(line);
        for (size_t tap = 0; tap < sum.lines.size(); tap++)
            for (size_t at = 0; at < line; at++)
                values[at] += sum.weights[tap] * narrow[sum.lines[tap] * line + at];
        for (double value : values)
            found.levels.push_back(uint8_t(std::clamp(std::nearbyint(value), 0.0, 255.0)));
    }
    return found;
}

// `given`, moved down and to the right, or cut where that is negative, in a canvas of `fill`.
inline Picture placed(const Picture& given, int height, int width, int fill) {
    Picture found{height, width, given.channels, {}};
    found.levels.assign(size_t(height) * width * given.channels, uint8_t(fill));
    // Division drops a half of what is cut as of what is filled.
    const int top = (height - given.height) / 2, left = (width - given.width) / 2;
    for (int y = std::max(top, 0); y < std::min(top + given.height, height); y++)
        for (int x = std::max(left, 0); x < std::min(left + given.width, width); x++)
            for (int channel = 0; channel < given.channels; channel++)
                found.levels[(size_t(y) * width + x) * given.channels + channel] =
                    given.levels[(size_t(y - top) * given.width + x - left) * given.channels +
                                 channel];
    return found;
}

inline Picture fitted(const Picture& given, const Json& declared) {
    const int height = declared.at("size").at(0), width = declared.at("size").at(1);
    const std::string rule = declared.at("resize");
    if (rule == "stretch") return scaled(given, height, width, declared);
    const double down = double(height) / given.height, across = double(width) / given.width;
    double ratio = rule == "letterbox" ? std::min(down, across) : std::max(down, across);
    if (rule == "crop" && !declared.at("shorter").is_null())
        ratio = declared.at("shorter").get<double>() / std::min(given.height, given.width);
    int tall = int(std::nearbyint(given.height * ratio));
    int wide = int(std::nearbyint(given.width * ratio));
    // Rounding leads over no border.
    tall = rule == "letterbox" ? std::clamp(tall, 1, height) : std::max(tall, height);
    wide = rule == "letterbox" ? std::clamp(wide, 1, width) : std::max(wide, width);
    return placed(scaled(given, tall, wide, declared), height, width, declared.at("fill"));
}

inline Tensor prepared(const std::string& path, const Json& declared, bool channels_last = false) {
    const Picture small = fitted(read(path, declared.at("colours")), declared);
    const int channels = small.channels, height = small.height, width = small.width;
    const bool in_file = declared.value("normalised_in", "application") == "file";
    std::vector<double> mean = declared.at("mean"), deviation = declared.at("std");
    if (mean.empty()) mean.assign(channels, 0.0);
    if (deviation.empty()) deviation.assign(channels, 1.0);
    const double scale = declared.at("scale");
    Tensor found{{1, channels, height, width}, {}, {}};
    if (channels_last) found.shape = {1, height, width, channels};
    const size_t pixels = size_t(height) * width;
    for (size_t at = 0; at < pixels * channels; at++) {
        const size_t channel = channels_last ? at % channels : at / pixels;
        const size_t pixel = channels_last ? at / channels : at % pixels;
        const uint8_t level = small.levels[pixel * channels + channel];
        if (in_file)
            found.bytes.push_back(level);
        else
            found.floats.push_back(float((level * scale - mean[channel]) / deviation[channel]));
    }
    return found;
}

// What numpy.save would write, as check-contract asks; `dtype` is numpy's, such as "<f4".
inline void save_npy(const std::string& path, const std::string& dtype,
                     const std::vector<int64_t>& shape, const void* data, size_t bytes) {
    std::string header = "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': (";
    for (int64_t size : shape) header += std::to_string(size) + ",";
    header += "), }";
    header.append(63 - (10 + header.size()) % 64, ' ').append("\n");
    std::ofstream file(path, std::ios::binary);
    file.write("\x93NUMPY\x01\x00", 8);
    file.put(char(header.size() % 256)).put(char(header.size() / 256));
    file << header;
    file.write(static_cast<const char*>(data), std::streamsize(bytes));
    if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
}

// The best five of an output's classes, or between which numbers it lies.
inline void show(const std::string& name, const std::vector<float>& values,
                 const std::string& labels) {
    const Json names = labels.empty() ? Json::array() : Json::parse(labels);
    if (values.empty() || names.size() != values.size()) {
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        if (values.empty())
            std::printf("%s: no numbers\n", name.c_str());
        else
            std::printf("%s: %zu numbers, between %.4g and %.4g\n", name.c_str(), values.size(),
                        *low, *high);
        return;
    }
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::sort(order.begin(), order.end(),
              [&](size_t one, size_t other) { return values[one] > values[other]; });
    order.resize(std::min<size_t>(order.size(), 5));
    for (size_t at : order)
        std::printf("%s: %.4f %s\n", name.c_str(), values[at],
                    names[at].get<std::string>().c_str());
}

}  // namespace picture
