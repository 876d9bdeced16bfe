#!/usr/bin/env python3
"""Finds Chinese words that never stand in a summary without their English in the abstract.

    python sources.py TRAIN.jsonl.gz ../zh.terms.tsv > ../zh.sources.tsv

A term of the glossary is kept where references' paragraphs have it often enough and, beside nearly all of
them, the title or the abstract has the English of it; titles and one-liners, which say more freely what a
paper is, may lack it more often; WRITTEN are words of other kinds, judged in the same way
where references have them; FURTHER adds to the English of terms. A line has the Chinese word and its
English, separated by commas: beginnings of words, or whole ones behind `=`, all of one of which have to be
in the source. What is kept and how often it misses goes to standard error.
"""

import gzip
import json
import re
import sys

# Fewest references that have a word, and the share of them that may lack its English, in paragraphs and
# in titles and one-liners: references' abstracts are cut, so some of it was there.
FEWEST, MOST_WITHOUT, MOST_WITHOUT_ABOVE = 15, 0.01, 0.1

# Claims and names that a model likes to make up. Those of the second list are too rare in references to
# be counted, and have one English word each.
WRITTEN = {
    "首次": "first, novel, pioneer, initial, unprecedented, previously un, never, new",
    "首个": "first, novel, pioneer, initial, unprecedented, previously un, never, new",
    "等价": "equivalen, equal, amount, same as, tantamount, iff, if and only, correspond, reduc",
    "马尔可夫": "markov, mdp, mcmc, hmm, pomdp, smdp, cmdp, momdp, dec pomdp",
    "贝叶斯": "bayes, variational bayes, posterior, bald, bnn",
    "高斯": "gauss, normal, gp, gmm, 3dgs, rbf",
    "量子": "quantum, qubit, vqe, nisq, qaoa, vqc, qnn, qml",
    "开源": "open, public, release, github, code",
    "零样本": "zero shot, zeroshot, training free, unseen",
    "因果": "caus, counterfactual, treatment effect, intervention",
    "货币": "currenc, monet, money, financ, dollar, crypto, econom, bitcoin",
    "稀疏": "spars, moe, lasso, l1",
    "时空": "spati, space, tempor, time",
    "非自回归": "autoreg, auto reg, nar",
    "法律": "legal, law, legis, jurid, jurisp, statut, regul, court, jud, contract, gdpr",
    "高维": "high, dimension",
    "肿瘤": "tumor, tumour, cancer, oncol, neoplas, glioma, carcino, lesion, metast",
    "心脏": "heart, card, coron",
    "雷达": "radar, lidar",
    "军事": "milit, army, defen",
    "儿童": "child, kid, infan, pediat, paediat, young, youth, adolesc",
    "蛋白质": "protein, prote, amino",
    "语音": "speech, voice, audio, phon, spoken, acoust, speak, tts, asr",
    "音乐": "music, song, melod, audio",
    "视频": "video, film, movie, clip, frame, youtube",
    "三维": "3d, three, 3 d, volum",
    "股票": "stock, equit, market, trad",
    "自动驾驶": "driv, vehic, auton, car",
    "无人机": "uav, drone, unmanned, aerial, quadrotor, uas",
    "强化学习": "reinforc, rl, rlhf, ppo, grpo, policy",
    "幻觉": "hallucin, illus",
    "隐私": "priva, sensitive, anonym",
    "蒙特卡洛": "monte, mcmc, mc",
    "傅里叶": "fourier, fft, spectr, frequen",
    "黎曼": "rieman",
    "微分方程": "differential, ode, pde, sde, equation",
    "偏微分": "pde, partial",
    "等离子": "plasm",
    "密码学": "crypt, cipher, cypher",
    "微观结构": "microstructur, microscopic",
    "心理健康": "mental, psych, wellbeing, well being, depress, anxi",
    "评分函数": "scor",
    "活动识别": "activit, action",
    "交互历史": "interact, histor, session",
    "信息增益": "gain",
    "组相对": "group, grpo",
    "平均处理效应": "averag treat, ate, cate",
    "无向图": "undirect",
    "推文": "tweet, twitter, post",
    "命名实体识别": "ner, named entit, entity",
}
# What else says a term of the glossary: acronyms of other letters, and looser words.
FURTHER = {
    "哈密顿": "hjb, hji",
    "无源": "unsourc, ambient iot, battery free, solenoid",
    "统一模型": "=gut, =guts",
    "生物多样性": "divers",
    "风险敏感": "risk",
    "尾部": "caudal, rear, =aft, trail",
    "多智能体": "marl, mas, agents",
    "智能体强化学习": "marl",
    "字符识别": "ocr",
    "整数线性规划": "milp, mip, integ program",
    "混合整数": "milp, mip, minlp, miqp",
    "马尔可夫链": "mcmc, dtmc, ctmc, markov",
    "预训练": "plm, bert, gpt, foundation model",
    "自编码器": "vae, vqvae, mae, sae",
    "低秩适配": "lora, qlora",
    "神经辐射场": "nerf",
    "人类反馈": "rlhf, human prefer",
    "共形": "cft, scft",
    "标准模型": "bsm, smeft, =sm",
    "定理证明": "theorem",
    "密度比": "densit, dens",
    "训练稳定性": "stabl train, stabl, stabil",
    "受访者": "interview, particip, survey, respond, question",
    "自洽": "consist",
    "有界性": "bound",
    "公理化": "axiom",
    "病历": "ehr, emr, health record, electron record, clinic not",
    "选择题": "multipl choic, multi choic, mcqa",
    "合作者": "coauth, co auth, partner",
    "语义": "meaning, sens",
    "协方差矩阵": "covari matric",
    "随机矩阵": "random matric, stochast matric, =rmt, =gue, =goe, wishart, ginibr, wigner",
    "语料库": "corpor, treebank, bitext, parallel data, librar, dataset, data",
    "局部最优": "loc optima, local minim, local maxim",
}
RARE = {
    "表面散射": "surface scatter, !subsurface",
    "肺炎": "pneumon, covid",
    "双臂": "arm, bimanual, dual",
    "凹凸": "conv, concav",
    "火焰": "fire, flame, combust, burn",
    "超时": "time out, timeout, overtime, time limit, deadline",
    "货币化": "monet",
    "提出解决方案": "solution, solv, address, propos, remed, mitigat",
    "给出解决方案": "solution, solv, address, propos, remed, mitigat",
    # Names that Chinese writes by their sound, and particles.
    "霍尔": "hall, hald, hoare, holm, qah, qh, holder, h lder, h older, hoelder, holst, holt, hormuz, qsh, fqh, "
        "iqh, fqah, =she, =ahe, =ishe, chern",
    "希格斯": "higgs",
    "狄拉克": "dirac, delta, point mass",
    "薛定谔": "schr, nls, dnls, inls, tdse, gross pitaev",
    "拉格朗日": "lagrang, almm, admm, alm, multiplier, librat, =l1, =l2, =l3, =l4, =l5",
    "洛伦兹": "lorentz, lorenz, =liv",
    "普朗克": "planck, =pl, =mpl",
    "玻尔兹曼": "boltzman, =lbm, =lb, =rbm, =bte, =kb",
    "庞加莱": "poincar",
    "希尔伯特": "hilbert, rkhs, hsic, schmidt, hilb, =hht",
    "巴拿赫": "banach",
    "索伯列夫": "sobolev",
    "欧拉": "euler",
    "柯西": "cauch",
    "雅可比": "jacobi, hessian, hjb, hji, =hj",
    "开普勒": "kepler",
    "麦克斯韦": "maxwel",
    "牛顿": "newton, bfgs, lbfgs, =mond, =pn, =n, =kn, =mn, nonnewton",
    "泊松": "poisson, =ppp, auxet, possion",
    "费曼": "feynman, path integr, loop integr",
    "费米": "fermi, =fm, sfermion, majorana, weyl",
    "玻色": "bos, =bec, =becs, condensat, higgs, dibos, =gbs",
    "泡利": "paul",
    "伊辛": "ising",
    "海森堡": "heisenberg",
    "塞曼": "zeeman",
    "拉曼": "raman, =sers, =srs",
    "布里渊": "brillouin, =bz, =sbs",
    "朗道": "landau, =llg, =gl, =cgl",
    "法拉第": "farad",
    "爱因斯坦": "einstein, einsum, =bec, =becs, condensat, =epr, general relativ",
    "史瓦西": "schwarzs",
    "格罗莫夫": "gromov, =gw, =fgw",
    "阿贝尔": "abel, nonabel, commut, metabel, semiabel",
    "伽罗瓦": "galois, galoi, =gf, gf",
    "克利福德": "clifford",
    "格拉斯曼": "grassman",
    "沃罗诺伊": "voronoi",
    "切比雪夫": "chebys, tcheb, cheby",
    "勒让德": "legendr",
    "埃尔米特": "hermit, nonhermit",
    "拉普拉斯": "laplac",
    "香农": "shannon, entrop",
    "纳什": "nash, equilib, =nse",
    "帕累托": "pareto, nondomin, non domin, undomin, multiobject, multi object",
    "瓦瑟斯坦": "wasserst, optim transport, earth mover, =w, wgan, =w1, =w2, =wp, kantor, =emd, =ot, vaser",
    "斯托克斯": "stokes, stoke, rans, urans, =ns, =nse",
    "雷诺": "reynold, rans, =re, raynaud, reynaud, renault, treynor, moreno, urans",
    "科尔莫戈罗夫": "kolmog, =kan, =kans, =ks, =kam, =kpp, fkpp",
    "李雅普诺夫": "lyapunov, liapunov, =clf, =clfs, ljapunov, ftle",
    "吉布斯": "gibbs",
    "弗雷歇": "frechet, fr chet, =fid, =fvd, =fad, =fcd",
    "豪斯多夫": "hausdorf, =hd95, =hd, =ahd, =bch",
    "贝尔曼": "bellman, hjb",
    "图灵": "turing",
    "康托": "cantor, kantor",
    "卡尔曼": "kalman, =ekf, =ukf, ekf, =kf, enkf, letkf, etkf, eskf, iekf, inekf, msckf, =ckf, =eki, k lm n",
    "汤普森": "thompson, =ts, posterior sampl",
    "斯塔克尔伯格": "stackelberg, leader follow, stackl",
    "伯努利": "bernoul",
    "狄利克雷": "dirichlet, =lda, =hdp, dpmm, =dtn",
    "诺伊曼": "neuman, neumark, =dtn, =vn",
    "凯莱": "cayley",
    "里奇": "ricc, ritch, =rcd",
    "哥德尔": "godel, del",
    "沙普利": "shapley, =shap, treeshap, kernelshap",
    "莫尔斯": "morse",
    "伽马": "gamma, grb, vhe, =ray, =rays",
    "贝塞尔": "bessel, bezier, zier, ezier",
    "全息": "holog, =ads, ads2, ads3, ads4, ads5, gauge gravit",
    "引力子": "gravit",
    "膨胀子": "dilaton",
    "缪子": "muon, =mu, dimuon, antimuon, muogr, mu2e, mu3e",
    "磁振子": "magnon, spin wave, spinwave",
    "等离激元": "plasmon, nanoplasmon, =spr, =spp, =lspr",
    "极化子": "polaron, polariton, bipolaron",
    "孤子": "soliton, solitar, multisolit, peakon",
    "瞬子": "instanton",
    "涡旋": "vort, swirl, eddy, eddi, whirl, scroll, gyre, oam, orbit angular, twist, antivort",
    "亏格": "genus, gener, plurigen",
    # Units: 211 angstroms are no 211 nanometres. A Greek mu before them is no word.
    "纳米": "nano, =nm, =nms, nmos, subwavelength, subnano, cnt, swcnt, mwcnt, swnt, =np, =nps, =nm2, =nm3",
    "微米": "micro, =um, =mu, =m, submicro, =mum",
    "毫米": "mm, millim, submm, submillim, milli met",
    "厘米": "cm, centim, centi met, subcentim",
    "公里": "km, kilomet, mile, kilo met",
    "千米": "km, kilomet, =m, meter, metre, kilo met",
    "毫秒": "=ms, millis, msec, milli second, submilli, =msp, =msps",
    "微秒": "micros, =us, =mu, =s, usec, micro second, =mus",
    "纳秒": "=ns, nanos, nsec, nano second, subnano",
    "皮秒": "=ps, picos, pico second, subpico",
    "飞秒": "=fs, femtos, femto second",
    "光年": "light year, lightyear, =ly, =kly, =mly",
    "天文单位": "=au, astronom unit",
    "秒差距": "parsec, kiloparsec, megaparsec, =pc, =kpc, =mpc, =gpc, cmpc, ckpc, pkpc, cgpc, subpc, subkpc, "
        "subparsec, gigaparsec",
    "电子伏": "=ev, =mev, =kev, =gev, =tev, =pev, electron volt, electronvolt, kiloelectron, megaelectron, "
        "gigaelectron, kev, mev, gev, tev, pev, eev, =nev, =zev, teraelectron, petaelectron, "
        "millielectron, microelectron",
    "特斯拉": "tesla, =t, =mt, =nt, =ut, =pt, =ft, millitesla, microtesla, nanotesla",
    "兆赫": "mhz, megahertz, ghz, gigahertz, mega hertz",
    "吉赫": "ghz, gigahertz, giga hertz",
    "千赫": "khz, kilohertz, kilo hertz",
    "太赫兹": "thz, terahertz, tera hertz, subthz, subterahertz",
    "摄氏度": "=c, celsius, centigrad, degree, circ, deg, =oc",
    "开尔文": "kelvin, =k, =mk, =nk, =uk, =kk, =kh, =khi, millikelvin, microkelvin, nanokelvin, subkelvin",
    "千克": "kg, kilogram",
    "公斤": "kg, kilogram",
    "千瓦": "kw, kilowatt, kilo watt",
    "兆瓦": "mw, megawatt, mega watt",
    "帧每秒": "frame, =fps, =hz",
}

# Words that are taken for their opposites or neighbours: wrong where the source has what stands behind
# the mark, and nothing else.
OPPOSITES = {
    "等价": "equivalen, equal, same as, tantamount, iff, if and only, amount, !equivarian",
    "染色体": "chromosom, !chromophor",
    "低频": "low frequen, infrequent, rare, lower frequen, low freq, !high frequen",
    "高频": "high frequen, high freq, higher frequen, !low frequen",
    "室内": "indoor, room, house, home, in door, building, !outdoor",
    "室外": "outdoor, outside, wild, street, !indoor",
    "上界": "upper, bounded, at most, !lower bound",
    "下界": "lower, at least, !upper bound",
    "最大化": "maxim, largest, most, !minimiz",
    "最小化": "minim, reduc, low, small, least, !maximiz",
    "假阳性": "false positiv, false alarm, !false negativ",
    "假阴性": "false negativ, miss, !false positiv",
    "白盒": "white, gray, grey, transparen, !black box",
    "黑盒": "black, blackbox, closed, api, propriet, opaque, !white box",
    "异步": "asynchron, async, !synchron",
    "同步": "synchron, sync, simultan, concurren, parallel, joint, !asynchron",
    "异构": "heterogen, hetero, non iid, divers, varied, !homogen",
    "同质": "homogen, same, uniform, similar, !heterogen",
    "稠密": "dense, densit, densely, !spars",
    "在线": "online, =on =line, stream, web, live, internet, real time, !offline",
    "离线": "offline, off line, batch, static, pre, !online",
    "后验": "posterior, posteriori, post, bayes, !prior",
    "定量": "quantit, quantif, numer, measur, !qualitativ",
    "鲁棒": "robust, resilien, resist, toler, reliab, !stabl, !stabilit",
    "前向": "forward, feed, front, prospect, !backward",
    "后向": "backward, back, rear, !forward",
    "上游": "upstream, earlier, !downstream",
    "下游": "downstream, lower, !upstream",
    "短期": "short, near, lstm, !long",
    "局部": "local, partial, region, part, patch, neighb, topical, !global",
    "全局": "global, overall, whole, holis, entire, world, !local",
    "离散": "discre, dispers, scatter, token, !continu",
    "显式": "explicit, express, direct, !implicit",
    "隐式": "implicit, latent, hidden, imply, implied, nerf, sdf, !explicit",
    "有偏": "bias, skew, !unbias",
    "非凸": "nonconv, non conv, !convex",
    "抛物线": "parabola, trajector, !parabolic",
    "人机交互": "interact, hci, human robot, human machine, human computer, !human in the loop, "
        "!human mediat",
    "外部": "extern, outside, outer, outward, exogen, third, extrins, !internal",
    "腹侧": "ventral, !dorsal",
    "背侧": "dorsal, !ventral",
    "编码器": "encod, autoencod, bert, vae, backbone, transformer, !decoder",
    "纵向": "longitud, vertical, lengthwise, axial, portrait, !transvers, !lateral, !horizont",
    "横向": "transvers, lateral, horizont, cross, across, side, landscape, wide, !longitud, !vertical",
    "红移": "redshift, red shift, =z, high z, bathochrom, !blueshift, !blue shift",
    "蓝移": "blueshift, blue shift, hypsochrom, !redshift, !red shift",
    "顺时针": "clockwise, =cw, !counterclock, !anticlock",
    "逆时针": "counterclock, anticlock, counter clockwise, anti clockwise, =ccw, !clockwise",
    "吸热": "endotherm, heat absor, absor, !exotherm",
    "放热": "exotherm, releas, heat, !endotherm",
    "阳极": "anod, photoanod, !cathod",
    "阴极": "cathod, !anod",
    "反铁磁": "antiferro, anti ferro, afm, neel, n el, !ferromag",
    "超流": "superfl, super fl, supercurr, !supercond",
    "超导": "supercond, super cond, cooper, joseph, squid, transmon, =sc, bcs, cuprat, andreev, meissner, "
        "=tc, !superfl",
    "非交换": "noncommut, non commut, nonabel, non abel, not commut, commutator, !commut",
}


def chinese_only(text):
    return len(text) > 1 and all("\u4e00" <= character <= "\u9fff" for character in text)


def beginning(word):
    """A word without what endings may change."""
    if len(word) > 4:
        word = re.sub(
            r"(?<=...)(ational|ations?|ically|ingly|ities|ances?|ences?|ments?|ness|ical|ions?|ives?|ings?"
            r"|ant|ent|ity|ies|ied|ers?|ors?|al|ed|es|ic|ly|s|y|e)$", "", word)
    return word


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def words_of_source(text):
    """The words of `text`, and the unit of a number that it is written together with: `5nm` is `nm` as well."""
    found = set(words(text))
    return found | {word.lstrip("0123456789") for word in found} - {""}


def has(source, english):
    """Whether `source`, a set of words, has all beginnings of one of `english`; one with a mark says that
    it has others' English instead, where it has that."""
    is_there = lambda part: part[1:] in source if part[0] == "=" else any(
        word.startswith(part) for word in source)
    stands = lambda parts: all(map(is_there, parts))
    marked = [[part.lstrip("!") for part in parts] for parts in english if parts[0][0] == "!"]
    return any(stands(parts) for parts in english if parts[0][0] != "!") or (
        bool(marked) and not any(stands(parts) for parts in marked)
    )


def main(train, terms):
    candidates = {}
    for line in open(terms, encoding="utf-8"):
        english, chinese = line.rstrip("\n").split("\t")[:2]
        if chinese_only(chinese):
            parts = [beginning(word) for word in words(english)]
            forms = [parts] + ([["".join(words(english))]] if len(parts) > 1 else [])
            forms += [["".join(part[0] for part in parts)]] if len(parts) > 2 else []
            candidates.setdefault(chinese, []).extend(forms)
    for chinese, english in (WRITTEN | OPPOSITES).items():
        candidates[chinese] = [form.split(" ") for form in english.split(", ")]
    for chinese, english in FURTHER.items():
        candidates.setdefault(chinese, []).extend(form.split(" ") for form in english.split(", "))
    by_start = {}
    for chinese in candidates:
        by_start.setdefault(chinese[:2], []).append(chinese)

    counts, without, counts_above, without_above = (dict.fromkeys(candidates, 0) for _ in range(4))
    papers = 0
    for line in gzip.open(train, "rt", encoding="utf-8"):
        paper = json.loads(line)
        papers += 1
        source = words_of_source(paper["title"] + " " + paper["abstract"])
        above = paper["zh_title"] + "\n" + paper["zh_tldr"]
        for text, met, lacking in ((paper["zh_abstract"], counts, without),
                                   (above, counts_above, without_above)):
            starts = {text[at : at + 2] for at in range(len(text) - 1)}
            for chinese in {c for start in starts for c in by_start.get(start, ()) if c in text}:
                met[chinese] += 1
                lacking[chinese] += not has(source, candidates[chinese])

    is_often = lambda c: counts[c] >= FEWEST or c in OPPOSITES
    is_sourced = lambda c: without[c] <= MOST_WITHOUT * counts[c] and (
        c in WRITTEN or without_above[c] <= max(1, MOST_WITHOUT_ABOVE * counts_above[c]))
    kept = [c for c in candidates if is_often(c) and is_sourced(c)]
    for chinese in sorted(kept):
        forms = list(dict.fromkeys(" ".join(form) for form in candidates[chinese]))
        print(chinese, ", ".join(forms), sep="\t")
    for chinese, english in sorted(RARE.items()):
        print(chinese, english, sep="\t")
    for chinese in WRITTEN | OPPOSITES:
        print(chinese, counts[chinese], without[chinese], chinese in kept, file=sys.stderr)
    found = sum(without[c] for c in kept)
    print(f"{len(kept)} words; {found} misses in {papers} references", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
