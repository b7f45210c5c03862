/* The parts of winograd.c that are the same for floats and bfloat16s: TYPE, and NAME to make names of. */
#ifndef TARGET
#define TARGET
#endif

/* One tile of a map to a row of each point's values. */
INLINE void NAME(enter)(int vertical, int horizontal, const TYPE *map, const View *view, int64_t row, int64_t column,
                        int64_t channels, TYPE *const *out) {
    const int high = vertical + 3, across = horizontal + 3;
    const TYPE *cells[POINTS * POINTS];
    for (int i = 0; i < high; i++)
        for (int j = 0; j < across; j++) {
            int64_t y = view->top + row * TILE + i, x = view->left + column * TILE + j;
            int inside = y >= 0 && y < view->height && x >= 0 && x < view->width;
            cells[i * across + j] = inside ? map + y * view->row_step + x * view->column_step : NULL;
        }
    for (int64_t c = 0; c < channels; c += WIDE) {
        wide d[POINTS * POINTS], u[POINTS * POINTS];
        const int64_t rest = channels - c;
#pragma GCC unroll 36
        for (int k = 0; k < high * across; k++) {
            TYPE part[WIDE] = {0};
            if (cells[k] && rest < WIDE) memcpy(part, cells[k] + c, rest * sizeof(TYPE));
            d[k] = cells[k] ? NAME(load)(rest < WIDE ? part : cells[k] + c) : (wide){0};
        }
#pragma GCC unroll 6
        for (int j = 0; j < across; j++) to_points(vertical, d + j, across, u + j, across);
#pragma GCC unroll 6
        for (int i = 0; i < high; i++) to_points(horizontal, u + i * across, 1, d + i * across, 1);
#pragma GCC unroll 36
        for (int k = 0; k < high * across; k++) {
            TYPE *to = out[k / across * POINTS + k % across] + c, part[WIDE];
            NAME(store)(rest < WIDE ? part : to, d[k]);
            if (rest < WIDE) memcpy(to, part, rest * sizeof(TYPE));
        }
    }
}

/* A row of each point's products to one tile of a map. */
INLINE void NAME(leave)(const int points, TYPE *map, const View *view, int64_t row, int64_t column, int64_t channels,
                        const float *const *in, const float *bias, float slope) {
    for (int64_t c = 0; c < channels; c += WIDE) {
        wide m[POINTS * POINTS], u[TILE * POINTS], out[TILE * TILE], shift = {0};
        const int64_t rest = channels - c, count = rest < WIDE ? rest : WIDE;
        if (bias) memcpy(&shift, bias + c, count * sizeof(float));
#pragma GCC unroll 36
        for (int k = 0; k < points * points; k++) m[k] = float_load(in[k / points * POINTS + k % points] + c);
#pragma GCC unroll 6
        for (int j = 0; j < points; j++) from_points(points, m + j, points, u + j, points);
#pragma GCC unroll 4
        for (int i = 0; i < TILE; i++) from_points(points, u + i * points, 1, out + i * TILE, 1);
        for (int k = 0; k < TILE * TILE; k++) {
            int64_t y = view->top + row * TILE + k / TILE, x = view->left + column * TILE + k % TILE;
            if (y < 0 || y >= view->height || x < 0 || x >= view->width) continue;
            TYPE *to = map + y * view->row_step + x * view->column_step + c, part[WIDE];
            NAME(store)(rest < WIDE ? part : to, leaky(out[k] + shift, slope));
            if (rest < WIDE) memcpy(to, part, rest * sizeof(TYPE));
        }
    }
}

TARGET static void NAME(block)(const Job *job, const TYPE *in, TYPE *out, char *workspace, int64_t start, int64_t count) {
    const int64_t per_image = job->rows * job->columns, per_group = job->batch * per_image;
    const int64_t width = padded(job->out_channels * job->outputs, COLUMNS), out_step = width + PAD;
    TYPE *values[POINTS * POINTS];
    float *products[POINTS * POINTS];
    int64_t steps[POINTS * POINTS];
    for (int p = 0; p < POINTS * POINTS; p++) {
        steps[p] = job->depth[p] + PAD;
        values[p] = (TYPE *)workspace;
        if (job->depth[p]) workspace += BLOCK * steps[p] * sizeof(TYPE);
    }
    for (int p = 0; p < POINTS * POINTS; p++) {
        products[p] = (float *)workspace;
        if (job->depth[p]) workspace += BLOCK * out_step * sizeof(float);
    }
    for (int64_t t = 0; t < count; t++) {
        const int64_t tile = start + t, group = tile / per_group, image = tile % per_group / per_image;
        const int64_t row = tile % per_image / job->columns, column = tile % job->columns;
        for (int64_t s = 0; s < job->sums; s++) {
            const View *view = job->in + s * job->groups + group;
            const TYPE *map = in + view->first + image * view->batch_step;
            TYPE *to[POINTS * POINTS];
            for (int p = 0; p < POINTS * POINTS; p++) to[p] = values[p] + t * steps[p] + job->before[s][p];
#define ENTER(V, H) NAME(enter)(V, H, map, view, row, column, job->in_channels, to); break
            switch (job->vertical[s] * 10 + job->horizontal[s]) {
                case 11: ENTER(1, 1);
                case 12: ENTER(1, 2);
                case 21: ENTER(2, 1);
                case 22: ENTER(2, 2);
                case 23: ENTER(2, 3);
                case 32: ENTER(3, 2);
                case 33: ENTER(3, 3);
            }
#undef ENTER
        }
    }
    for (int p = 0; p < POINTS * POINTS; p++)
        for (int64_t n = 0; job->depth[p] && n < width; n += COLUMNS)
            for (int64_t t = 0; t < count; t += ROWS)
                NAME(product)(values[p] + t * steps[p], steps[p], job->depth[p],
                              (const TYPE *)job->weights[p] + n * job->depth[p], products[p] + t * out_step + n, out_step);
    for (int64_t t = 0; t < count; t++) {
        const int64_t tile = start + t, group = tile / per_group, image = tile % per_group / per_image;
        const int64_t row = tile % per_image / job->columns, column = tile % job->columns;
        for (int64_t o = 0; o < job->outputs; o++) {
            const View *view = job->out + group * job->outputs + o;
            TYPE *map = out + view->first + image * view->batch_step;
            const float *from[POINTS * POINTS];
            for (int p = 0; p < POINTS * POINTS; p++) from[p] = products[p] + t * out_step + o * job->out_channels;
            if (job->points == 6) NAME(leave)(6, map, view, row, column, job->out_channels, from, job->bias, job->slope);
            if (job->points == 5) NAME(leave)(5, map, view, row, column, job->out_channels, from, job->bias, job->slope);
        }
    }
}

void NAME(winograd)(const Job *job, const TYPE *in, TYPE *out, char *workspace, int64_t threads) {
    const int64_t tiles = job->groups * job->batch * job->rows * job->columns, bytes = winograd_workspace(job);
    const int64_t blocks = padded(padded(tiles, BLOCK) / BLOCK, threads), size = (tiles + blocks - 1) / blocks;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t start = b * size, count = start + size < tiles ? size : tiles - start;
        if (count > 0) NAME(block)(job, in, out, workspace + omp_get_thread_num() * bytes, start, count);
    }
}
